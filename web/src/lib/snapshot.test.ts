import { expect, test } from 'vitest';
import { standing, whyMissing, type Snapshot } from './snapshot';

const section = (state: string, parts = {}) => ({ state, reason: state === 'ok' ? null : `it is ${state}`, fix: null, since: '', duration_ms: null, parts });
const snapshot = (sections: object, status: object) => ({ ...sections, status }) as unknown as Snapshot;

test('why a value is missing is what its part says, else its section', () => {
  const shown = snapshot({}, { cpu: section('ok', { temperature_celsius: { state: 'unavailable', reason: 'no sensor', fix: null } }), disk: section('failed') });
  expect(whyMissing(shown, 'cpu.temperature_celsius')?.reason).toBe('no sensor');
  expect(whyMissing(shown, 'disk.devices.read_iops')?.reason).toBe('it is failed');
  expect([whyMissing(shown, 'cpu.user'), whyMissing(shown, 'constructor.x'), whyMissing(null, 'cpu.user')]).toEqual([null, null, null]);
});

test('a section that is not asked at this tick stands as it was', () => {
  const before = snapshot({ cpu: { user: 1 }, disk: { devices: {} } }, { cpu: section('ok'), disk: section('ok') });
  const now = snapshot({ cpu: { user: 2 }, disk: null }, { cpu: section('ok'), disk: section('paced') });
  expect(standing(now, before)).toEqual(snapshot({ cpu: { user: 2 }, disk: { devices: {} } }, { cpu: section('ok'), disk: section('ok') }));
  expect(standing(now, null)).toBe(now);
  expect(standing(before, now)).toBe(before);
});
