// What stands on which page: ids, in the order of a reader who looks for trouble. Everything else about them is the catalog's.

export interface Figure {
  ids: string[];
  title?: string;
  stack?: boolean;
}

/** A headline of a section, what lies behind it, and what else is to be seen at a glance. */
export interface Tile {
  section: string;
  page: string;
  title: string;
  headlines: string[];
  more: string[];
  /** The headline where there is none of the others. */
  instead?: string;
}

export const TILES: Tile[] = [
  { section: 'cpu', page: '/cpu', title: 'CPU', headlines: ['cpu.usage_percent'], more: ['cpu.iowait', 'cpu.system', 'cpu.temperature_celsius'] },
  { section: 'memory', page: '/memory', title: 'Memory', headlines: ['memory.usage_percent'], more: ['memory.available_bytes', 'memory.pgmajfault_per_sec', 'memory.swap_io_bytes_per_sec'] },
  { section: 'disk', page: '/disk', title: 'Disk', headlines: ['disk.devices.write_bytes_per_sec', 'disk.devices.read_bytes_per_sec'], more: ['disk.devices.write_latency_ms', 'disk.devices.read_latency_ms', 'disk.partitions.usage_percent'] },
  { section: 'network', page: '/network', title: 'Network', headlines: ['network.interfaces.bytes_recv_per_sec', 'network.interfaces.bytes_sent_per_sec'], more: ['network.interfaces.errors_in', 'network.interfaces.drops_in', 'network.connections.tcp_established'] },
  {
    section: 'perf_events',
    page: '/counters',
    title: 'Counters',
    headlines: ['perf_events.derived.ipc'],
    instead: 'perf_events.derived.context_switches_per_sec',
    more: ['perf_events.derived.effective_ghz', 'perf_events.derived.llc_mpki', 'perf_events.derived.branch_miss_percent', 'perf_events.derived.cpu_migrations_per_sec', 'perf_events.derived.page_faults_per_sec'],
  },
];

export const CPU_MODES: Figure = { ids: ['cpu.user', 'cpu.system', 'cpu.iowait', 'cpu.irq', 'cpu.softirq'], title: 'CPU by mode', stack: true };
export const MEMORY_USE: Figure = { ids: ['memory.used_bytes', 'memory.cached_bytes', 'memory.buffers_bytes', 'memory.free_bytes'], title: 'Memory' };

export const OVERVIEW: Figure[] = [
  CPU_MODES,
  MEMORY_USE,
  { ids: ['network.interfaces.bytes_recv_per_sec', 'network.interfaces.bytes_sent_per_sec'], title: 'Network' },
  { ids: ['disk.devices.read_bytes_per_sec', 'disk.devices.write_bytes_per_sec'], title: 'Disk throughput' },
  { ids: ['disk.devices.read_latency_ms', 'disk.devices.write_latency_ms'], title: 'Disk latency' },
  { ids: ['memory.page_io_bytes_per_sec', 'memory.swap_io_bytes_per_sec'], title: 'Page and swap I/O' },
];

/** Misses where there is hardware that counts them, else what every kernel counts. */
export const COUNTERS: Figure = {
  ids: ['perf_events.derived.l1d_mpki', 'perf_events.derived.llc_mpki', 'perf_events.derived.dtlb_mpki', 'perf_events.derived.itlb_mpki', 'perf_events.derived.branch_mpki'],
  title: 'Misses per 1,000 instructions',
};
export const SOFTWARE_COUNTERS: Figure = { ids: ['perf_events.derived.context_switches_per_sec', 'perf_events.derived.cpu_migrations_per_sec'], title: 'Scheduler' };

/** A page about one resource: charts of the host as a whole, then the same charts for each of its objects. */
export interface Resource {
  title: string;
  figures: Figure[];
  objects: { title: string; label: string; figures: Figure[] }[];
}

export const RESOURCES: Record<string, Resource> = {
  '/cpu': {
    title: 'CPU',
    figures: [CPU_MODES, { ids: ['cpu.usage_percent'] }, { ids: ['cpu.interrupts'] }, { ids: ['cpu.frequency_mhz'] }, { ids: ['cpu.temperature_celsius'] }],
    objects: [{ title: 'Cores', label: 'core', figures: [{ ids: ['cpu.per_core'] }] }],
  },
  '/memory': {
    title: 'Memory',
    figures: [
      { ids: ['memory.usage_percent'] },
      MEMORY_USE,
      { ids: ['memory.available_bytes'] },
      { ids: ['memory.pgfault_per_sec'] },
      { ids: ['memory.pgmajfault_per_sec'] },
      { ids: ['memory.pgpgin_per_sec', 'memory.pgpgout_per_sec'], title: 'Page I/O' },
      { ids: ['memory.pswpin_per_sec', 'memory.pswpout_per_sec'], title: 'Swap I/O' },
      { ids: ['memory.swap_used_bytes', 'memory.swap_total_bytes'], title: 'Swap space' },
      { ids: ['memory.hugepages_total', 'memory.hugepages_free', 'memory.hugepages_reserved'], title: 'Huge pages' },
    ],
    objects: [],
  },
  '/disk': {
    title: 'Disk',
    figures: [],
    objects: [
      {
        title: 'Devices',
        label: 'device',
        figures: [
          { ids: ['disk.devices.read_bytes_per_sec', 'disk.devices.write_bytes_per_sec'], title: 'Throughput' },
          { ids: ['disk.devices.read_latency_ms', 'disk.devices.write_latency_ms'], title: 'Latency' },
          { ids: ['disk.devices.read_iops', 'disk.devices.write_iops'], title: 'Requests' },
        ],
      },
      {
        title: 'File systems',
        label: 'mountpoint',
        figures: [{ ids: ['disk.partitions.usage_percent'] }, { ids: ['disk.partitions.used_bytes', 'disk.partitions.free_bytes'], title: 'Space' }],
      },
    ],
  },
  '/network': {
    title: 'Network',
    figures: [
      { ids: ['network.connections.tcp_established', 'network.connections.tcp_time_wait', 'network.connections.tcp_close_wait'], title: 'TCP connections' },
      { ids: ['network.connections.tcp_listen', 'network.connections.udp_count'], title: 'Sockets' },
    ],
    objects: [
      {
        title: 'Interfaces',
        label: 'interface',
        figures: [
          { ids: ['network.interfaces.bytes_recv_per_sec', 'network.interfaces.bytes_sent_per_sec'], title: 'Traffic' },
          { ids: ['network.interfaces.packets_recv_per_sec', 'network.interfaces.packets_sent_per_sec'], title: 'Packets' },
          { ids: ['network.interfaces.errors_in', 'network.interfaces.errors_out', 'network.interfaces.drops_in', 'network.interfaces.drops_out'], title: 'Errors and drops' },
        ],
      },
    ],
  },
};

/** Cards of the page about counters, the raw events below them, and how much of the time those were counted. */
export const CARDS = [
  'perf_events.derived.ipc', 'perf_events.derived.effective_ghz', 'perf_events.derived.branch_miss_percent', 'perf_events.derived.l1d_mpki', 'perf_events.derived.llc_mpki',
  'perf_events.derived.dtlb_mpki', 'perf_events.derived.itlb_mpki', 'perf_events.derived.context_switches_per_sec', 'perf_events.derived.cpu_migrations_per_sec', 'perf_events.derived.page_faults_per_sec',
];
export const EVENT_VALUE = 'perf_events.events.value';
export const EVENT_COVERAGE = 'perf_events.running_pct';

/** What Explore and Compare begin with. */
export const FIRST_LOOK = ['cpu.usage_percent'];
export const FIRST_COMPARISON = ['cpu.usage_percent', 'memory.usage_percent', 'disk.devices.write_bytes_per_sec', 'network.interfaces.bytes_recv_per_sec'];

export const PAGES: { path: string; title: string }[] = [
  { path: '/', title: 'Overview' },
  { path: '/cpu', title: 'CPU' },
  { path: '/memory', title: 'Memory' },
  { path: '/disk', title: 'Disk' },
  { path: '/network', title: 'Network' },
  { path: '/counters', title: 'Counters' },
  { path: '/explore', title: 'Explore' },
  { path: '/compare', title: 'Compare' },
];
