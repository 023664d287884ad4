// Node-RED without its editor: the flow beside this file, served and run. The environment says where everything is.
module.exports = {
    flowFile: "flows.json",
    uiHost: "127.0.0.1",
    uiPort: Number(process.env.PEER_PORT),
    httpAdminRoot: false,
    functionExternalModules: true,
    credentialSecret: false,
    httpNodeRoot: "/",
    contextStorage: { default: { module: "memory" } },
    logging: { console: { level: "warn", metrics: false, audit: false } },
};
