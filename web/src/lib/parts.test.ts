import { expect, test } from 'vitest';
import { grouped } from './parts';

test('one reason is told once, with all that it holds for', () => {
  const none = { state: 'unavailable', reason: 'no PMU', fix: 'have one' };
  const groups = grouped([
    ['cycles', none],
    ['/mnt', { state: 'late', reason: 'no answer' }],
    ['instructions', { ...none }],
    ['branches', { ...none, fix: null }],
  ]);
  expect(groups).toEqual([
    { names: ['cycles', 'instructions'], ...none },
    { names: ['/mnt'], state: 'late', reason: 'no answer', fix: null },
    { names: ['branches'], ...none, fix: null },
  ]);
});
