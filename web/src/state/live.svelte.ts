// The WebSocket: every snapshot as it is made, and back again when the link was lost.

import { ask } from '../lib/api';
import { link, pause, type Facts, type Link } from '../lib/link';
import type { Snapshot } from '../lib/snapshot';
import { feed } from './feed.svelte';

type Message = { type: 'hello'; interval_ms: number; seq: number } | { type: 'snapshot'; seq: number; missed: number; data: Snapshot };

class Live {
  private facts = $state<Facts>({ online: navigator.onLine, open: false, lastFrame: null, lostAt: null, intervalMs: 5_000 });
  /** Moves on by itself, so that ages can be shown. */
  now = $state(Date.now());
  state: Link = $derived(link(this.facts, this.now));
  /** How long ago the newest frame came. */
  age: number = $derived(this.facts.lastFrame === null ? 0 : Math.max(0, this.now - this.facts.lastFrame));
  lostFor: number = $derived(this.facts.lostAt === null ? 0 : Math.max(0, this.now - this.facts.lostAt));
  /** The server now serves another page than this one. */
  upgraded = $state(false);
  /** From the snapshot's own time to its arrival, in milliseconds. */
  delayMs = $state<number | null>(null);

  private socket: WebSocket | null = null;
  private attempt = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private etag: string | null = null;

  start(): void {
    if (!this.started) this.listen();
    this.started = true;
    this.connect();
  }

  private started = false;

  private listen(): void {
    addEventListener('online', () => { this.facts.online = true; this.connect(); });
    addEventListener('offline', () => { this.facts.online = false; });
    document.addEventListener('visibilitychange', () => {
      if (document.hidden) return;
      this.now = Date.now();
      if (!this.socket) this.connect();
      feed.mayHaveMissed();
    });
    setInterval(() => { if (!document.hidden) this.now = Date.now(); }, 500);
  }

  stop(): void {
    clearTimeout(this.timer);
    const { socket } = this;
    this.socket = null;
    this.facts.open = false;
    socket?.close();
  }

  private connect(): void {
    clearTimeout(this.timer);
    if (this.socket) return;
    const socket = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/api/v1/live`);
    this.socket = socket;
    socket.onopen = () => {
      if (this.facts.lostAt !== null) feed.mayHaveMissed();
      this.facts.open = true;
      this.facts.lostAt = null;
      void this.compareVersion();
    };
    socket.onmessage = ({ data }) => this.take(JSON.parse(String(data)) as Message);
    socket.onclose = () => {
      if (this.socket !== socket) return;
      this.socket = null;
      if (this.facts.open) this.facts.lostAt = Date.now();
      // Refused, maybe because the session has ended: then this says so, and the page asks for the password.
      else ask('session').catch(() => {});
      this.facts.open = false;
      this.timer = setTimeout(() => this.connect(), pause(this.attempt++, Math.random()));
    };
  }

  private take(message: Message): void {
    if (message.type === 'hello') this.facts.intervalMs = message.interval_ms;
    if (message.type !== 'snapshot') return;
    this.attempt = 0;
    this.now = Date.now();
    this.facts.lastFrame = this.now;
    this.facts.intervalMs = message.data.interval_ms;
    this.delayMs = this.now - Date.parse(message.data.timestamp);
    if (message.missed > 0) feed.mayHaveMissed();
    feed.take(message.data);
  }

  /** A page that the server was started with is known by its tag. */
  private async compareVersion(): Promise<void> {
    try {
      const { headers } = await fetch('/index.html', { method: 'HEAD', cache: 'no-store' });
      const etag = headers.get('etag');
      if (this.etag !== null && etag !== this.etag) this.upgraded = true;
      this.etag ??= etag;
    } catch {
      // The next connection asks again.
    }
  }
}

export const live = new Live();
