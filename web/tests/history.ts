// A week of a host's life in the shape of an export: the hours around now on each of the last days. Busy by day, the same
// every day, but for what is given.

const MINUTE = 60_000;
const DAY = 86_400_000;

/** A number from 0 to 1 that looks like chance and is the same every time. */
function chance(seed: number): number {
  const x = Math.sin(seed * 12.9898) * 43758.5453;
  return x - Math.floor(x);
}

const GIB = 2 ** 30;

/** Lines for `perfwatch import`: from an hour before to an hour after this time of day on each of `days` days, a row every `step`. */
export function week(now: number, { days = 8, step = 15_000, lastHours = 6 } = {}): string {
  const lines = ['{"perfwatch_export":1}'];
  for (let back = days; back >= 0; back -= 1) {
    const end = back === 0 ? now - MINUTE : now - back * DAY + 60 * MINUTE;
    const start = back === 0 ? now - lastHours * 60 * MINUTE : now - back * DAY - 90 * MINUTE;
    const counters = { read: 1e9, write: 2e9, reads: 1e5, writes: 2e5, readMs: 1e4, writeMs: 5e4, recv: 1e9, sent: 5e8, packets: 1e6, interrupts: 1e8 };
    for (let t = Math.ceil(start / step) * step, row = 0; t <= end; t += step, row += 1) {
      const wave = 0.5 + 0.5 * Math.sin((t / MINUTE) * 0.21);
      const noise = chance(t / step);
      const user = 12 + 14 * wave + 8 * noise;
      const system = 3 + 3 * noise;
      const iowait = noise > 0.92 ? 12 * noise : 0.5;
      const seconds = step / 1000;
      counters.read += Math.round((2e6 + 6e6 * wave * noise) * seconds);
      counters.write += Math.round((5e6 + 2e7 * noise) * seconds);
      counters.reads += Math.round((40 + 80 * noise) * seconds);
      counters.writes += Math.round((150 + 300 * noise) * seconds);
      counters.readMs += Math.round((20 + 60 * noise) * seconds);
      counters.writeMs += Math.round((200 + 500 * noise * noise) * seconds);
      counters.recv += Math.round((3e5 + 2e6 * wave + 4e5 * noise) * seconds);
      counters.sent += Math.round((1e5 + 6e5 * wave + 2e5 * noise) * seconds);
      counters.packets += Math.round((900 + 1500 * wave) * seconds);
      counters.interrupts += Math.round((3000 + 2000 * wave) * seconds);
      const used = 5.2 * GIB + 1.4 * GIB * wave;
      const total = 16 * GIB;
      const round = (value: number) => Math.round(value * 100) / 100;
      const sections: Record<string, Record<string, number>> = {
        cpu: {
          'cpu.usage_percent': round(user + system), 'cpu.user': round(user), 'cpu.system': round(system), 'cpu.iowait': round(iowait),
          'cpu.irq': 0, 'cpu.softirq': round(0.4 + noise), 'cpu.idle': round(Math.max(0, 100 - user - system - iowait)), 'cpu.interrupts': counters.interrupts,
          'cpu.per_core{core="0"}': round(user + system + 4 * noise), 'cpu.per_core{core="1"}': round(Math.max(0, user + system - 4 * noise)),
        },
        memory: {
          'memory.usage_percent': round((used / total) * 100), 'memory.total_bytes': total, 'memory.used_bytes': Math.round(used), 'memory.available_bytes': Math.round(total - used),
          'memory.free_bytes': Math.round(3 * GIB - GIB * wave), 'memory.cached_bytes': 7 * GIB, 'memory.buffers_bytes': Math.round(0.3 * GIB), 'memory.swap_total_bytes': 0,
          'memory.swap_used_bytes': 0, 'memory.swap_free_bytes': 0,
        },
        disk: {
          'disk.devices.read_bytes{device="vda"}': counters.read, 'disk.devices.write_bytes{device="vda"}': counters.write, 'disk.devices.read_count{device="vda"}': counters.reads,
          'disk.devices.write_count{device="vda"}': counters.writes, 'disk.devices.read_time_ms{device="vda"}': counters.readMs, 'disk.devices.write_time_ms{device="vda"}': counters.writeMs,
        },
        network: {
          'network.interfaces.bytes_recv{interface="eth0"}': counters.recv, 'network.interfaces.bytes_sent{interface="eth0"}': counters.sent,
          'network.interfaces.packets_recv{interface="eth0"}': counters.packets, 'network.interfaces.packets_sent{interface="eth0"}': Math.round(counters.packets * 0.7),
        },
      };
      for (const [section, values] of Object.entries(sections)) {
        lines.push(JSON.stringify({ time: new Date(t).toISOString(), section, covered_ns: row === 0 ? 0 : step * 1e6, values }));
      }
    }
  }
  return lines.join('\n') + '\n';
}
