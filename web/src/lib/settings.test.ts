import { expect, test } from 'vitest';
import { changes, groups, type Setting } from './settings';

const setting = (key: string, value: string, kind: Setting['kind'] = 'text', editable = true): Setting => ({
  key, value, default: value, source: 'default', help: '', kind, choices: null, applies: 'now', editable,
});

test('only what was changed is sent', () => {
  const all = [setting('interval', '5s', 'duration'), setting('collectors.network', 'true', 'bool'), setting('listen', 'x', 'text', false), setting('perf.cpus', 'all')];
  expect(changes(all, { interval: '5s', 'collectors.network': 'false', listen: 'y', 'perf.cpus': '', unknown: '1' })).toEqual({ 'collectors.network': false, 'perf.cpus': null });
});

test('settings stand together by their first word', () => {
  expect(groups([setting('storage.dir', ''), setting('interval', ''), setting('storage.keep_raw', '')]).map(([name, all]) => [name, all.length])).toEqual([['', 1], ['storage', 2]]);
});
