// The real binary on a port of its own, with a history of its own.

import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';

const BINARY = resolve(process.env.PERFWATCH_BIN ?? '../target/debug/perfwatch');

const environment = {
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('PERFWATCH_'))),
  // A debug build on a busy machine takes more than the default grants.
  PERFWATCH_BUDGET_CPU_PERCENT: '100',
};

export class Server {
  readonly data: string;
  private child: ChildProcess | null = null;
  url = '';

  constructor(private readonly options: { auth?: boolean; interval?: string | null; arguments?: string[] } = {}) {
    this.data = mkdtempSync(join(tmpdir(), 'perfwatch-web-'));
  }

  /** Takes what `perfwatch export` would have written into the history. */
  import(lines: string): void {
    const file = join(this.data, 'import.ndjson');
    writeFileSync(file, lines);
    const done = spawnSync(BINARY, ['import', '--data', join(this.data, 'history'), file], { env: environment, encoding: 'utf8' });
    if (done.status !== 0) throw new Error(`import: ${done.stderr}`);
  }

  async start(): Promise<string> {
    const { auth = false, interval = '500ms', arguments: more = [] } = this.options;
    // The same port again after it was killed, so that the page finds it.
    const listen = this.url ? new URL(this.url).host : '127.0.0.1:0';
    const child = spawn(BINARY, ['serve', '--listen', listen, ...(interval ? ['--interval', interval] : []), '--data', join(this.data, 'history'), ...(auth ? [] : ['--no-auth']), ...more], {
      env: environment,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.child = child;
    const lines = createInterface({ input: child.stderr });
    this.url = await new Promise<string>((found, failed) => {
      let log = '';
      lines.on('line', (line) => {
        log += `${line}\n`;
        const url = /serving at (http:\/\/\S+)/.exec(line)?.[1];
        if (url) found(url);
      });
      child.on('exit', () => failed(new Error(`perfwatch ended:\n${log}`)));
    });
    // The port is open before the first sample is there. Who is not logged in is told so at once.
    while ((await fetch(`${this.url}/api/v1/snapshot`)).status === 503) await new Promise((later) => setTimeout(later, 20));
    return this.url;
  }

  /** Where the first user is made. */
  setupLink(): string {
    return readFileSync(join(this.data, 'history', 'setup-link'), 'utf8').split('\n')[0] ?? '';
  }

  async get<T>(path: string): Promise<T> {
    const response = await fetch(`${this.url}/api/v1/${path}`);
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return (await response.json()) as T;
  }

  /** Killed as by the kernel. */
  async kill(): Promise<void> {
    const { child } = this;
    this.child = null;
    if (!child || child.exitCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  }

  async end(): Promise<void> {
    await this.kill();
    rmSync(this.data, { recursive: true, force: true });
  }
}
