// Runs the FluentServer of @fluent-org/logger, a receiver of the Forward protocol that we did not write.
// Arguments: its directory, its options as JSON. Prints {"port": n}, then one JSON line for each entry. Ends with stdin.
const [dir, options] = process.argv.slice(2);
const { FluentServer } = require(dir + "/node_modules/@fluent-org/logger");
const server = new FluentServer({ listenOptions: { port: 0, host: "127.0.0.1" }, ...JSON.parse(options) });
server.on("entry", (tag, time, record) => console.log(JSON.stringify({ tag, time: String(time.epoch ?? time), nano: time.nano, record })));
server.listen().then(() => console.log(JSON.stringify({ port: server.port })));
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
