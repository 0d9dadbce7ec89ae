// Silences the SDK and its crypto, which write to the console whatever they are told. VERBOSE=1 lets them.

const say = console.log.bind(console);
if (!process.env.VERBOSE) for (const name of ["trace", "debug", "info", "log", "warn", "error"]) console[name] = () => {};

export { say };
