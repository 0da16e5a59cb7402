// Settings and the state of the server, as `/api/v1/settings` and `/api/v1/status` answer.

import type { Setting, Settings, Status, Token } from './schema';

export type { Setting, Settings, Status, Token };

/** A value as a field shows it: a switch is `true` or `false`, nothing is empty. */
export function text(value: Setting['value']): string {
  return value === null ? '' : String(value);
}

/** What was edited, as it is sent: a switch as a boolean, an emptied field as null, which takes a saved value back. */
export function changes(settings: readonly Setting[], edited: Readonly<Record<string, string>>): Record<string, string | boolean | null> {
  const sent: Record<string, string | boolean | null> = {};
  for (const { key, value, kind, editable } of settings) {
    const now = edited[key];
    if (now === undefined || now === text(value) || !editable) continue;
    sent[key] = now === '' ? null : kind === 'bool' ? now === 'true' : now;
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
