// Settings and the state of the server, as `/api/v1/settings` and `/api/v1/status` answer.

import type { Section } from './snapshot';

export interface Setting {
  key: string;
  value: string;
  default: string;
  source: 'default' | 'saved' | 'file' | 'environment' | 'command line';
  help: string;
  kind: 'duration' | 'bytes' | 'bool' | 'choice' | 'text' | 'cpus';
  choices: string[] | null;
  applies: 'now' | 'restart';
  editable: boolean;
}

export interface Settings {
  settings: Setting[];
  warnings: string[];
}

export interface Status {
  version: string;
  started_ms: number;
  now_ms: number;
  host: { hostname: string | null; kernel: string | null };
  sections: Record<string, Section>;
  self: { cpu_percent: number | null; rss_bytes: number; threads: number; descriptors: number };
  store: {
    dir: string;
    bytes: number;
    max_bytes: number;
    free_bytes: number;
    bytes_per_day: number | null;
    oldest_ms: number | null;
    newest_ms: number | null;
    series: number;
    trouble: string | null;
    tiers: { name: string; oldest_ms: number | null; bytes: number; keep: string }[];
  };
  clients: { live: number; connections: number };
  capabilities: { name: string; state: string; reason: string | null; fix: string | null }[];
}

export interface Token {
  id: string;
  name: string;
  scope: 'read' | 'scrape' | 'admin';
  created_ms: number;
  last_used_ms: number | null;
}

/** What was edited, as it is sent: a switch as a boolean, an emptied field as null, which takes a saved value back. */
export function changes(settings: readonly Setting[], edited: Readonly<Record<string, string>>): Record<string, string | boolean | null> {
  const sent: Record<string, string | boolean | null> = {};
  for (const { key, value, kind, editable } of settings) {
    const text = edited[key];
    if (text === undefined || text === value || !editable) continue;
    sent[key] = text === '' ? null : kind === 'bool' ? text === 'true' : text;
  }
  return sent;
}

/** Settings by the word before their first dot, those without one first. */
export function groups(settings: readonly Setting[]): [string, Setting[]][] {
  const found = new Map<string, Setting[]>([['', []]]);
  for (const setting of settings) {
    const name = setting.key.includes('.') ? (setting.key.split('.')[0] ?? '') : '';
    found.set(name, [...(found.get(name) ?? []), setting]);
  }
  return [...found].filter(([, all]) => all.length > 0);
}
