// node client.mjs ADDRESS: executes the scenario on its standard input at a procnursery daemon.
import net from 'node:net';
import { decode, encode } from '@msgpack/msgpack';

const PROTOCOL = 1;
const MAX_FRAME = 1_048_576; // what a hello promises by default (PN-2.1-7)
const WINDOW = 65_536; // credit beyond what was received
const [REQUEST, REPLY, NOTIFICATION] = [0, 1, 2];
const [WRONG, LOST] = [2, 3]; // exit statuses

function fail(status, message) {
  process.stderr.write(`client: ${message.replaceAll('\n', ' ')}\n`);
  process.exit(status);
}

let wake = () => {}; // called whenever something was received
const news = () => new Promise((resolve) => { wake = resolve; });

/** What was received of an output stream; `offset` counts bytes and gaps (PN-11.1-1). */
const newStream = (name) => ({ name, offset: 0, chunks: [], ended: false });

class Connection {
  farewell = null; // code of the daemon's goodbye
  #leaving = false; // whether we have said ours: nothing may follow, no credit either (PN-5.2-3)
  #received = Buffer.alloc(0); // the beginning of a frame
  #lastId = 0;
  #replies = new Map(); // id of an outstanding request -> what takes its error and result
  #streams = new Map(); // number of a subscription -> its stream

  constructor(address) {
    const [, path, host, port] = /^unix:\/\/(.+)|^tcp:\/\/\[?(.+?)\]?:(\d+)$/.exec(address) ?? [];
    if (!path && !host) fail(WRONG, `no address: ${address}`);
    let reason = 'end of stream';
    this.socket = net.connect(path ? { path } : { host, port })
      .on('data', (chunk) => this.#receive(chunk))
      .on('error', (error) => { reason = error.code; })
      .on('close', () => fail(LOST, `no connection: ${this.farewell ?? reason}`));
  }

  /** `accept` gets the result before any later message is handled. */
  request(method, params, accept = (result) => result) {
    const id = ++this.#lastId;
    this.#send([REQUEST, id, method, params]);
    return new Promise((resolve, reject) => {
      this.#replies.set(id, (error, result) => (error ? reject(error) : resolve(accept(result))));
    });
  }

  subscribe({ id, stdout, stderr }) {
    return Promise.all([stdout, stderr].map((stream) => {
      stream.ended = false; // the new subscription has an end of its own
      const { name, offset } = stream;
      const params = { id, stream: name, offset, credit: offset + WINDOW };
      // Output may be right behind the reply (PN-11.3-1), so the stream is registered at once.
      const register = ({ subscription }) => this.#streams.set(subscription, stream);
      return this.request('output.subscribe', params, register);
    }));
  }

  async goodbye() {
    this.#send([NOTIFICATION, 'goodbye', { code: 'done' }]);
    this.#leaving = true;
    while (!this.farewell) await news();
    this.close();
    return this.farewell;
  }

  close() {
    this.socket.removeAllListeners('close').destroy();
  }

  #send(message) {
    if (this.#leaving) fail(LOST, 'no connection after goodbye');
    const frame = Buffer.concat([Buffer.alloc(4), encode(message)]);
    frame.writeUInt32BE(frame.length - 4);
    this.socket.write(frame);
  }

  #receive(chunk) {
    this.#received = Buffer.concat([this.#received, chunk]);
    while (this.#received.length >= 4) {
      const end = 4 + this.#received.readUInt32BE();
      if (end === 4 || end > 4 + MAX_FRAME) fail(WRONG, `a frame of ${end - 4} bytes (PN-2.1-7)`);
      if (this.#received.length < end) break;
      this.#handle(decode(this.#received.subarray(4, end)));
      this.#received = this.#received.subarray(end);
    }
    wake();
  }

  #handle([type, head, ...tail]) {
    if (type === NOTIFICATION) return this.#notice(head, ...tail);
    if (type !== REPLY || !this.#replies.has(head)) fail(WRONG, 'a message that is not due (4.1)');
    this.#replies.get(head)(...tail);
    return this.#replies.delete(head);
  }

  #notice(method, params) {
    // A goodbye with grace is only an announcement (12.2). What is unknown is ignored (PN-4.1-9).
    if (method === 'goodbye' && params.grace == null) this.farewell = params.code;
    if (/^output\.(data|gap|end)$/.test(method)) this.#output(method, params);
  }

  #output(method, { subscription, offset, from = offset, to, data }) {
    const stream = this.#streams.get(subscription);
    if (stream?.offset !== from) fail(WRONG, `${method} at the wrong offset ${from} (PN-11.3-2)`);
    if (data?.length > WINDOW) fail(WRONG, `${method} beyond the credit (PN-11.3-3)`);
    if (data) stream.chunks.push(data);
    stream.offset = to ?? offset + (data?.length ?? 0);
    stream.ended = method === 'output.end' && this.#streams.delete(subscription);
    const credit = { subscription, credit: stream.offset + WINDOW, consumed: stream.offset };
    if (!stream.ended && !this.#leaving) this.#send([NOTIFICATION, 'output.credit', credit]);
  }
}

let connection; // the latest
let program; // the latest one started: its id, its streams, the offset of its input
const ask = (method, params) => connection.request(method, { id: program.id, ...params });
const fate = ({ outcome, cause }) => `${outcome.kind} ${outcome.code ?? outcome.signal} ${cause}`;
const fnv1a = (bytes) => bytes.reduce((h, b) => Math.imul(h ^ b, 0x01000193), 0x811c9dc5) >>> 0;

const commands = {
  async connect() {
    connection?.close();
    connection = new Connection(process.argv[2]);
    const params = { protocol: PROTOCOL, client: { name: 'scenario' } };
    const { protocol } = await connection.request('hello', params);
    if (protocol !== PROTOCOL) fail(WRONG, `protocol ${protocol}: ${await connection.goodbye()}`);
    return `connected ${protocol}`;
  },
  async start(rest) {
    const argv = rest.split('|'); // a str is as good as a bin (PN-3.2-1)
    const pipe = { mode: 'pipe' };
    const spec = { argv, stdin: pipe, stdout: pipe, stderr: pipe, on_disconnect: 'keep' };
    const { id } = await connection.request('process.start', { spec, events: false });
    program = { id, stdout: newStream('stdout'), stderr: newStream('stderr'), input: 0 };
    await connection.subscribe(program);
    return 'started';
  },
  async write(text) {
    program.input = (await ask('stdin.write', { offset: program.input, data: `${text}\n` })).offset;
    return `offset ${program.input}`;
  },
  close: async () => `offset ${(await ask('stdin.close')).offset}`,
  async await(rest) {
    const [, name, text] = /^(stdout|stderr) (.*)$/.exec(rest);
    const { chunks } = program[name];
    let from = 0; // TEXT begins in no earlier chunk (each has a byte at least)
    while (!Buffer.concat(chunks.slice(from)).includes(text)) {
      if (program[name].ended) fail(WRONG, `${name} ended without '${text}'`);
      from = Math.max(0, chunks.length - Buffer.byteLength(text));
      await news();
    }
    return 'seen';
  },
  signal: async (signal) => `delivered ${(await ask('process.signal', { signal })).count}`,
  async drop() {
    await commands.connect();
    if (program) await connection.subscribe(program);
    return 'resumed';
  },
  async stop(grace) {
    const { process: stopped } = await ask('process.stop', { grace: Number(grace) });
    return `${fate(stopped)} ${stopped.tree.verdict}`;
  },
  wait: async () => fate((await ask('process.wait')).process),
  async sum(name) {
    while (!program[name].ended) await news();
    const bytes = Buffer.concat(program[name].chunks);
    const hash = fnv1a(bytes).toString(16).padStart(8, '0');
    return `bytes ${bytes.length} lost ${program[name].offset - bytes.length} fnv1a ${hash}`;
  },
  async list(_, after = null, before = 0) {
    const { processes, next } = await connection.request('process.list', { after });
    const count = before + processes.length;
    return next ? commands.list(_, next, count) : `processes ${count}`;
  },
  goodbye: async () => `goodbye ${await connection.goodbye()}`,
};

async function execute(line) {
  if (/^\s*(#|$)/.test(line)) return;
  const [, name, rest] = /^(\S*) ?(.*)$/.exec(line);
  if (!Object.hasOwn(commands, name)) fail(WRONG, `unknown command: ${line}`);
  const answer = await commands[name](rest).catch(({ code, message, data }) => {
    if (!data) fail(WRONG, message); // else it is the error of a reply (6.1)
    return `error ${code}${name === 'start' ? ` ${data.stage ?? '-'} ${data.errno ?? '-'}` : ''}`;
  });
  process.stdout.write(`${answer}\n`);
}

process.on('uncaughtException', (error) => fail(WRONG, `${error}`));
let input = '';
for await (const chunk of process.stdin.setEncoding('utf8')) {
  const lines = (input + chunk).split('\n');
  input = lines.pop();
  for (const line of lines) await execute(line);
}
await execute(input);
connection?.close();
