// What happened: to PerfWatch starts, stops, gaps and failures; to the host boots, kills, links, CPUs, mounts and disks that came or went.

import { clock, duration } from './format';
import type { Frame } from './frame';
import { known } from './gaps';
import type { Range } from './when';

export interface Happening {
  kind: string;
  /** Milliseconds. A moment has the same at both ends. */
  from: number;
  to: number;
  /** In a few words. */
  words: string;
  /** Whether something was lost or failed. */
  bad: boolean;
}

/** Reads the API's events; what is of another shape is left out. */
export function eventsIn(answer: unknown): Happening[] {
  if (!Array.isArray(answer)) return [];
  return answer.flatMap((event: { t?: unknown; kind?: unknown; detail?: unknown }) => {
    const { t, kind } = event;
    if (typeof t !== 'number' || typeof kind !== 'string') return [];
    const detail = (typeof event.detail === 'object' && event.detail !== null ? event.detail : {}) as Record<string, unknown>;
    const from = kind === 'gap' && typeof detail.from === 'number' ? detail.from : t;
    const to = kind === 'gap' && typeof detail.to === 'number' ? detail.to : t;
    return [{ kind, from, to, ...words(kind, detail, to - from) }];
  });
}

function words(kind: string, detail: Record<string, unknown>, length: number): { words: string; bad: boolean } {
  const text = (name: string) => (typeof detail[name] === 'string' ? detail[name] : '');
  const number = (name: string) => (typeof detail[name] === 'number' ? detail[name] : 0);
  switch (kind) {
    case 'gap':
      return { words: `nothing recorded for ${duration(length)}: ${text('reason')}`, bad: true };
    case 'start':
      return { words: `PerfWatch ${text('version')} started, every ${duration(number('interval_ms'))}`, bad: false };
    case 'stop':
      return { words: `PerfWatch stopped: ${text('reason')}`, bad: false };
    case 'clock_step':
      return { words: `the clock was set by ${number('by_ms') > 0 ? '+' : ''}${(number('by_ms') / 1000).toFixed(3)} s`, bad: true };
    case 'boot':
      return { words: 'the host was booted', bad: false };
    case 'oom_kill':
      return { words: `out of memory: ${number('count') > 1 ? `${number('count')} processes were` : 'a process was'} killed`, bad: true };
    case 'link':
      return { words: `${text('interface')}: link ${detail.up === true ? 'up' : 'down'}`, bad: detail.up !== true };
    case 'cpu':
      return { words: `CPU ${number('cpu')} went ${detail.online === true ? 'online' : 'offline'}`, bad: detail.online !== true };
    case 'mount':
      return { words: `${text('mountpoint')} ${detail.mounted === true ? `mounted from ${text('device')} (${text('fstype')})${detail.read_only === true ? ', read-only' : ''}` : 'unmounted'}`, bad: false };
    case 'device':
      return { words: `device ${text('device')} ${detail.present === true ? 'appeared' : 'vanished'}`, bad: detail.present !== true };
    case 'upgrade':
      return { words: `${text('what') === 'kernel' ? 'the kernel' : 'PerfWatch'} changed from ${text('from')} to ${text('to')}`, bad: false };
    case 'collector':
      return { words: [text('part'), text('state'), text('reason')].filter(Boolean).join(' · '), bad: text('state') !== 'ok' };
    case 'store':
      return text('problem')
        ? { words: `history: ${text('problem')}`, bad: true }
        : { words: 'history is written again', bad: false };
    default:
      return { words: kind.replaceAll('_', ' '), bad: false };
  }
}

/** Stretches between values in which no line has one. */
export function holes(frame: Frame): Range[] {
  const has = (at: number) => frame.lines.some((line) => line.values[at] !== null && line.values[at] !== undefined);
  const rows = known(frame.t, has, frame.stepMs);
  return rows.flatMap(({ at, gap }, place) => (gap ? [{ from: frame.t[rows[place - 1]?.at ?? 0] ?? 0, to: frame.t[at] ?? 0 }] : []));
}

/** Why there is nothing at a moment, if an event says so. */
export function reasonAt(events: readonly Happening[], hole: Range): string {
  const gap = events.find((event) => event.kind === 'gap' && event.from < hole.to && event.to > hole.from);
  const other = events.find((event) => event.bad && event.from >= hole.from - 1000 && event.from <= hole.to);
  return gap?.words ?? other?.words ?? `no values from ${clock(hole.from, true)} to ${clock(hole.to, true)}`;
}
