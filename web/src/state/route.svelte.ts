// Where one is and what time one looks at: all of it in the address, so that a link shows the same to everybody.

import { isLive, range, type Range, type Written } from '../lib/when';

export const DEFAULT: Written = { from: 'now-15m', to: 'now' };

class Route {
  path = $state(location.pathname);
  private search = $state.raw(new URLSearchParams(location.search));
  /** Milliseconds; moves on with the ticks while the range ends now. */
  now = $state(Date.now());
  /** The range to go on with after a pause. */
  paused = $state.raw<Written | null>(null);

  written: Written = $derived({ from: this.search.get('from') ?? DEFAULT.from, to: this.search.get('to') ?? DEFAULT.to });
  vs: string = $derived(this.search.get('vs') ?? '-1d');
  selected: string[] = $derived(this.search.getAll('select'));
  /** Whether the range ends now and so goes on. */
  live: boolean = $derived(isLive(this.written));
  /** The range, or what is wrong with it. */
  private found: Range | string = $derived(range(this.written, this.now));
  wrong: string | null = $derived(typeof this.found === 'string' ? this.found : null);
  range: Range = $derived(typeof this.found === 'string' ? { from: this.now - 900_000, to: this.now } : this.found);

  constructor() {
    addEventListener('popstate', () => {
      this.read();
    });
  }

  private read(): void {
    this.path = location.pathname;
    this.search = new URLSearchParams(location.search);
    if (this.live) this.paused = null;
    this.now = Date.now();
  }

  /** The address of a page with the time that is looked at. */
  href(path: string, changes: Record<string, string | readonly string[] | null> = {}): string {
    const search = new URLSearchParams();
    for (const name of ['from', 'to', 'vs']) {
      const value = this.search.get(name);
      if (value !== null) search.set(name, value);
    }
    for (const [name, value] of Object.entries(changes)) {
      search.delete(name);
      if (value === null) continue;
      if (typeof value === 'string') search.set(name, value);
      else for (const one of value) search.append(name, one);
    }
    for (const [name, value] of Object.entries(DEFAULT)) if (search.get(name) === value) search.delete(name);
    const text = search.toString();
    return text ? `${path}?${text}` : path;
  }

  go(address: string, replace = false): void {
    history[replace ? 'replaceState' : 'pushState'](null, '', address);
    this.read();
  }

  /** Changes what the address says of this page. */
  set(changes: Record<string, string | readonly string[] | null>, replace = false): void {
    const kept: Record<string, readonly string[] | null> = this.path === '/explore' || this.path === '/compare' ? { select: this.selected } : {};
    this.go(this.href(this.path, { ...kept, ...changes }), replace);
  }

  look(written: Written, replace = false): void {
    this.set({ from: written.from, to: written.to }, replace);
  }

  /** Stands still, or goes on. */
  pause(): void {
    if (this.live) {
      this.paused = this.written;
      const { from, to } = this.range;
      const paused = this.paused;
      this.look({ from: String(Math.round(from)), to: String(Math.round(to)) });
      this.paused = paused;
    } else this.resume();
  }

  /** Back to now. */
  resume(): void {
    this.look(this.paused ?? DEFAULT);
  }
}

export const route = new Route();

/** Follows links of the page without loading it again. */
export function follow(event: MouseEvent): void {
  const anchor = event.target instanceof Element ? event.target.closest('a') : null;
  if (!anchor || event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return;
  if (anchor.origin !== location.origin || anchor.hasAttribute('download') || anchor.target) return;
  if (anchor.pathname.startsWith('/api/') || anchor.hash) return;
  event.preventDefault();
  route.go(anchor.pathname + anchor.search);
}
