import { expect, test } from 'vitest';
import { Catalog, natural, selectorOf, zoneOf, type Metric } from './catalog';

const metric = (id: string, labels: string[] = [], kind: Metric['kind'] = 'gauge'): Metric => ({
  id, labels, kind, title: id, help: '', unit: 'count', source: '', better: null, zones: [],
});

function found(catalog: Catalog, snapshot: unknown): string[] {
  const all: string[] = [];
  catalog.visit(snapshot, (metric, labels, value) => all.push(`${metric.id}[${labels.join(',')}]=${value}`));
  return all;
}

test('every number of a snapshot is found with its labels', () => {
  const catalog = new Catalog([
    metric('cpu.usage_percent'),
    metric('cpu.per_core', ['core']),
    metric('network.interfaces.bytes_sent', ['interface']),
    metric('perf_events.running_pct', ['event']),
    metric('disk.partitions.device', ['mountpoint'], 'info'),
    metric('disk.partitions.read_only', ['mountpoint']),
  ]);
  const snapshot = {
    cpu: { usage_percent: 1.5, per_core: [1, null, 3] },
    network: { interfaces: { eth0: { bytes_sent: 7 }, lo: { bytes_sent: null } } },
    perf_events: { running_pct: { cycles: 52.4, 'LLC-loads': null } },
    disk: { partitions: { '/': { device: '/dev/sda', read_only: false }, '/mnt': { read_only: true } } },
  };
  expect(found(catalog, snapshot)).toEqual([
    'cpu.usage_percent[]=1.5', 'cpu.per_core[0]=1', 'cpu.per_core[2]=3', 'network.interfaces.bytes_sent[eth0]=7',
    'perf_events.running_pct[cycles]=52.4', 'disk.partitions.read_only[/]=0', 'disk.partitions.read_only[/mnt]=1',
  ]);
});

test('names from the host are never taken for parts of a path', () => {
  const catalog = new Catalog([metric('network.interfaces.bytes_sent', ['interface'])]);
  const interfaces = JSON.parse('{"bytes_sent":{"bytes_sent":1},"__proto__":{"bytes_sent":2},"constructor":{"bytes_sent":3},"a.b":{"bytes_sent":4}}');
  expect(found(catalog, { network: { interfaces } })).toEqual([
    'network.interfaces.bytes_sent[bytes_sent]=1',
    'network.interfaces.bytes_sent[__proto__]=2',
    'network.interfaces.bytes_sent[constructor]=3',
    'network.interfaces.bytes_sent[a.b]=4',
  ]);
});

test('a section that is null or of another shape has no values', () => {
  const catalog = new Catalog([metric('cpu.per_core', ['core']), metric('cpu.usage_percent')]);
  for (const snapshot of [null, {}, { cpu: null }, { cpu: [] }, { cpu: { per_core: null, usage_percent: 'x' } }]) {
    expect(found(catalog, snapshot)).toEqual([]);
  }
});

test('a selector quotes what a label may hold', () => {
  expect(selectorOf('a.b', {})).toBe('a.b');
  expect(selectorOf('a.b', { mountpoint: '/mnt/"x"\\y' })).toBe('a.b{mountpoint="/mnt/\\"x\\"\\\\y"}');
});

test('core 10 comes after core 9', () => {
  expect(['10', '9', 'eth10', 'eth2'].sort(natural)).toEqual(['9', '10', 'eth2', 'eth10']);
});

test('a value is in the zone that begins below it', () => {
  const zoned = { ...metric('ipc'), zones: [{ from: 0, name: 'few' }, { from: 1, name: 'many' }] };
  expect([0, 0.99, 1, 7, -1, null].map((value) => zoneOf(zoned, value))).toEqual(['few', 'few', 'many', 'many', null, null]);
});
