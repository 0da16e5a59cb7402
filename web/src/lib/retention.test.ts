import { expect, test } from 'vitest';
import { byteCount, estimate, milliseconds } from './retention';
import type { Status } from './schema';

test('lengths of time and sizes are read as the settings write them', () => {
  expect(['500ms', '90s', '36h', '30d', '5y', '1h 30m', '0s', '30', 'soon', '3 months'].map(milliseconds)).toEqual([500, 90_000, 129_600_000, 2_592_000_000, 157_680_000_000, 5_400_000, 0, null, null, null]);
  expect(['2GiB', '500MB', '1048576', '1.5KiB', 'much'].map(byteCount)).toEqual([2 ** 31, 5e8, 1_048_576, 1536, null]);
});

const tier = (name: string, perDay: number | null) => ({ name, oldest_ms: 0, bytes: 1, bytes_per_day: perDay, keep: '' });
const store = (raw: number | null, minutes: number | null = 10) => ({ bytes: 100, free_bytes: 10_000, tiers: [tier('raw', raw), tier('1m', minutes), tier('1h', null)] }) as unknown as Status['store'];
const wanted = { keep: ['30d', '100d', '5y'], maxBytes: '1MB', slower: 1 };

test('each tier takes what a day of it takes, for as long as it is kept', () => {
  expect(estimate(store(100), wanted)).toEqual({
    tiers: [{ name: 'raw', bytes: 3000 }, { name: '1m', bytes: 1000 }, { name: '1h', bytes: null }], bytes: 4000, limit: 1_000_000, rawDays: null, tooLittle: false,
  });
  expect(estimate(store(100), { ...wanted, slower: 2 })?.bytes).toBe(2500);
  expect(estimate(store(null), wanted)).toBe(null);
});

test('under a limit that is too low, samples go back less far, and a disk may be too small for it', () => {
  expect(estimate(store(100), { ...wanted, maxBytes: '2000' })).toMatchObject({ bytes: 4000, rawDays: 10, tooLittle: false });
  expect(estimate(store(1000), wanted)).toMatchObject({ bytes: 31_000, tooLittle: true });
});

test('without minutes there are no hours either', () => {
  expect(estimate(store(100), { ...wanted, keep: ['30d', '0s', '5y'] })?.tiers.map(({ bytes }) => bytes)).toEqual([3000, 0, 0]);
});
