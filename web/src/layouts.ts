// What stands on which page: ids, in the order of a reader who looks for trouble. Everything else about them is the catalog's.

import type { Pick } from './lib/frame';
import type { Use } from './lib/use';

export interface Figure extends Pick {
  title?: string;
  stack?: boolean;
  /** Most lines. */
  most?: number;
  /** Whether what the metric means is said beside it. */
  explained?: boolean;
}

/** A headline of a section, what lies behind it, and what else is to be seen at a glance. */
export interface Tile extends Use {
  section: string;
  page: string;
  title: string;
  headlines: string[];
  /** The headline where there is none of the others. */
  instead?: string;
  /** What is seen of a section that is no resource. */
  more?: Pick[];
}

const of = (...ids: string[]): Pick[] => ids.map((id) => ({ ids: [id] }));
const waiting = (resource: string): Pick => ({ ids: ['pressure.resources.some_percent'], labels: { resource } });
const pressure = (resource: string, title: string): Figure => ({ ids: ['pressure.resources.some_percent', 'pressure.resources.full_percent'], labels: { resource }, title });

export const TILES: Tile[] = [
  {
    section: 'cpu', page: '/cpu', title: 'CPU', headlines: ['cpu.usage_percent'],
    utilisation: [],
    saturation: [waiting('cpu'), ...of('scheduler.run_queue_wait', 'cgroups.slices.throttled_percent', 'cpu.steal')],
    errors: of('cpu.throttles'),
  },
  {
    section: 'memory', page: '/memory', title: 'Memory', headlines: ['memory.usage_percent'],
    utilisation: [],
    saturation: [waiting('memory'), ...of('memory.refaults_per_sec', 'memory.direct_reclaims_per_sec', 'memory.swap_io_bytes_per_sec')],
    errors: of('memory.oom_kills'),
  },
  {
    section: 'disk', page: '/disk', title: 'Disk', headlines: ['disk.devices.write_bytes_per_sec', 'disk.devices.read_bytes_per_sec'],
    utilisation: of('disk.devices.utilization_percent', 'disk.partitions.usage_percent'),
    saturation: [...of('disk.devices.queue_depth'), waiting('io')],
    errors: of('disk.partitions.read_only'),
  },
  {
    section: 'network', page: '/network', title: 'Network', headlines: ['network.interfaces.bytes_recv_per_sec', 'network.interfaces.bytes_sent_per_sec'],
    utilisation: of('network.interfaces.link_utilization_percent'),
    saturation: of('network.interfaces.drops_in', 'network.interfaces.drops_out', 'network.softnet.dropped', 'network.softnet.squeezed', 'network.tcp.listen_overflows', 'network.udp.receive_buffer_errors'),
    errors: of('network.interfaces.errors_in', 'network.interfaces.errors_out', 'network.tcp.retransmit_percent'),
  },
  {
    section: 'perf_events', page: '/counters', title: 'Counters', headlines: ['perf_events.derived.ipc'], instead: 'perf_events.derived.context_switches_per_sec',
    utilisation: [], saturation: [], errors: [],
    more: of('perf_events.derived.effective_ghz', 'perf_events.derived.llc_mpki', 'perf_events.derived.branch_miss_percent', 'perf_events.derived.cpu_migrations_per_sec', 'perf_events.derived.page_faults_per_sec'),
  },
];

export const CPU_MODES: Figure = { ids: ['cpu.user', 'cpu.system', 'cpu.iowait', 'cpu.irq', 'cpu.softirq', 'cpu.steal', 'cpu.nice'], title: 'CPU by mode', stack: true };
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

/** Objects of a kind, each with the same charts, under fields that show all of them at once. */
export interface Kind {
  title: string;
  label: string;
  figures: Figure[];
  /** What tells the busiest: without it, the first chart. */
  by?: string;
  fields?: string[];
}

/** A page about one resource: charts of the host as a whole in the order of a reader who looks for trouble, then the same for each of its objects. */
export interface Resource {
  title: string;
  /** Texts that say what it is, by id. */
  facts?: string[];
  groups: { title: string; figures: Figure[] }[];
  objects: Kind[];
}

export const RESOURCES: Record<string, Resource> = {
  '/cpu': {
    title: 'CPU',
    groups: [
      { title: 'Utilisation', figures: [CPU_MODES, { ids: ['cpu.usage_percent'] }, { ids: ['cpu.steal', 'cpu.guest', 'cpu.nice'], title: 'Steal, guests and nice' }, { ids: ['cgroups.slices.cpu_percent'], title: 'CPU by slice' }, { ids: ['cpu.frequency_mhz'] }, { ids: ['cpu.frequency_limit_mhz'] }] },
      { title: 'Saturation', figures: [pressure('cpu', 'Pressure'), { ids: ['scheduler.run_queue_wait'] }, { ids: ['scheduler.running', 'scheduler.blocked'], title: 'Threads' }, { ids: ['cgroups.slices.throttled_percent'], title: 'Throttled by a limit' }] },
      { title: 'Errors and heat', figures: [{ ids: ['cpu.throttles'] }, { ids: ['cpu.temperature_celsius'] }] },
    ],
    objects: [
      {
        title: 'Cores',
        label: 'core',
        figures: [
          { ids: ['cpu.per_core_user', 'cpu.per_core_system', 'cpu.per_core_iowait', 'cpu.per_core_irq', 'cpu.per_core_softirq', 'cpu.per_core_steal'], title: 'Modes', stack: true },
          { ids: ['scheduler.per_core_wait'] },
        ],
        by: 'cpu.per_core',
        fields: ['cpu.per_core', 'scheduler.per_core_wait', 'cpu.per_core_softirq', 'cpu.per_core_steal'],
      },
    ],
  },
  '/memory': {
    title: 'Memory',
    groups: [
      {
        title: 'Utilisation',
        figures: [
          { ids: ['memory.usage_percent'] },
          MEMORY_USE,
          { ids: ['memory.available_bytes'] },
          { ids: ['memory.active_bytes', 'memory.inactive_bytes'], title: 'Active and inactive' },
          { ids: ['memory.slab_reclaimable_bytes', 'memory.slab_unreclaimable_bytes', 'memory.shmem_bytes'], title: 'Kernel and shared' },
          { ids: ['memory.committed_bytes', 'memory.commit_limit_bytes'], title: 'Promised' },
          { ids: ['memory.dirty_bytes', 'memory.writeback_bytes'], title: 'To be written' },
          { ids: ['memory.swap_used_bytes', 'memory.swap_total_bytes'], title: 'Swap space' },
          { ids: ['memory.zswap_stored_bytes', 'memory.zswap_pool_bytes'], title: 'zswap' },
          { ids: ['memory.hugepages_total', 'memory.hugepages_free', 'memory.hugepages_reserved'], title: 'Huge pages' },
        ],
      },
      {
        title: 'Saturation',
        figures: [
          pressure('memory', 'Pressure'),
          { ids: ['memory.direct_reclaims_per_sec', 'memory.compact_stalls_per_sec'], title: 'Stalls for free memory' },
          { ids: ['memory.refaults_per_sec'] },
          { ids: ['memory.pgmajfault_per_sec'] },
          { ids: ['memory.pswpin_per_sec', 'memory.pswpout_per_sec'], title: 'Swap I/O' },
          { ids: ['memory.pgpgin_per_sec', 'memory.pgpgout_per_sec'], title: 'Page I/O' },
          { ids: ['memory.pgfault_per_sec'] },
        ],
      },
      { title: 'Errors', figures: [{ ids: ['memory.oom_kills'] }] },
    ],
    objects: [
      { title: 'NUMA nodes', label: 'node', figures: [{ ids: ['memory.nodes.free_bytes', 'memory.nodes.total_bytes'], title: 'Memory' }, { ids: ['memory.nodes.hit_per_sec', 'memory.nodes.miss_per_sec'], title: 'Hits and misses' }] },
      { title: 'zram devices', label: 'device', figures: [{ ids: ['memory.zram.data_bytes', 'memory.zram.compressed_bytes', 'memory.zram.used_bytes'], title: 'Stored' }] },
    ],
  },
  '/disk': {
    title: 'Disk',
    groups: [{ title: 'Saturation', figures: [pressure('io', 'Pressure'), { ids: ['scheduler.blocked'] }] }],
    objects: [
      {
        title: 'Devices',
        label: 'device',
        figures: [
          { ids: ['disk.devices.utilization_percent'], explained: true },
          { ids: ['disk.devices.queue_depth', 'disk.devices.in_flight'], title: 'Queue' },
          { ids: ['disk.devices.read_latency_ms', 'disk.devices.write_latency_ms', 'disk.devices.flush_latency_ms', 'disk.devices.discard_latency_ms'], title: 'Latency' },
          { ids: ['disk.devices.read_bytes_per_sec', 'disk.devices.write_bytes_per_sec', 'disk.devices.discard_bytes_per_sec'], title: 'Throughput' },
          { ids: ['disk.devices.read_iops', 'disk.devices.write_iops', 'disk.devices.flush_iops', 'disk.devices.discard_iops'], title: 'Requests' },
          { ids: ['disk.devices.reads_merged_per_sec', 'disk.devices.writes_merged_per_sec'], title: 'Merged' },
        ],
        by: 'disk.devices.utilization_percent',
      },
      {
        title: 'File systems',
        label: 'mountpoint',
        figures: [{ ids: ['disk.partitions.usage_percent'] }, { ids: ['disk.partitions.used_bytes', 'disk.partitions.free_bytes'], title: 'Space' }, { ids: ['disk.partitions.inodes_usage_percent'] }, { ids: ['disk.partitions.read_only'] }],
      },
    ],
  },
  '/network': {
    title: 'Network',
    groups: [
      {
        title: 'Utilisation',
        figures: [
          { ids: ['network.connections.tcp_established', 'network.connections.tcp_time_wait', 'network.connections.tcp_close_wait'], title: 'TCP connections' },
          { ids: ['network.connections.tcp_listen', 'network.connections.udp_count', 'network.sockets.orphaned'], title: 'Sockets' },
          { ids: ['network.tcp.segments_sent_per_sec', 'network.udp.datagrams_in_per_sec', 'network.udp.datagrams_out_per_sec'], title: 'Segments and datagrams' },
          { ids: ['network.sockets.tcp_memory_bytes', 'network.sockets.udp_memory_bytes'], title: 'Buffers' },
          { ids: ['network.conntrack.usage_percent'] },
        ],
      },
      {
        title: 'Saturation',
        figures: [
          { ids: ['network.softnet.dropped_per_sec', 'network.softnet.squeezed_per_sec'], title: 'Packets taken in late' },
          { ids: ['network.tcp.listen_overflows_per_sec', 'network.tcp.listen_drops_per_sec', 'network.tcp.syn_cookies_sent_per_sec'], title: 'Connections not accepted' },
          { ids: ['network.tcp.backlog_drops_per_sec', 'network.tcp.memory_pressures_per_sec'], title: 'TCP short of memory' },
          { ids: ['network.udp.receive_buffer_errors_per_sec', 'network.udp.send_buffer_errors_per_sec'], title: 'UDP short of buffers' },
        ],
      },
      {
        title: 'Errors',
        figures: [{ ids: ['network.tcp.retransmit_percent'] }, { ids: ['network.tcp.resets_sent_per_sec'] }, { ids: ['network.udp.in_errors_per_sec', 'network.udp.no_ports_per_sec'], title: 'UDP errors' }],
      },
    ],
    objects: [
      {
        title: 'Interfaces',
        label: 'interface',
        figures: [
          { ids: ['network.interfaces.bytes_recv_per_sec', 'network.interfaces.bytes_sent_per_sec'], title: 'Traffic' },
          { ids: ['network.interfaces.link_utilization_percent'] },
          { ids: ['network.interfaces.packets_recv_per_sec', 'network.interfaces.packets_sent_per_sec'], title: 'Packets' },
          { ids: ['network.interfaces.drops_in_per_sec', 'network.interfaces.drops_out_per_sec'], title: 'Drops' },
          { ids: ['network.interfaces.errors_in_per_sec', 'network.interfaces.errors_out_per_sec'], title: 'Errors' },
          { ids: ['network.interfaces.carrier_changes'] },
        ],
      },
    ],
  },
  '/kernel': {
    title: 'Kernel',
    facts: ['kernel.release', 'kernel.version', 'kernel.uptime_seconds', 'kernel.boot_id', 'kernel.clock_synchronized', 'kernel.clock_offset_ms', 'kernel.entropy_bits'],
    groups: [
      {
        title: 'Utilisation',
        figures: [
          { ids: ['scheduler.load1', 'scheduler.load5', 'scheduler.load15'], title: 'Load' },
          { ids: ['scheduler.context_switches_per_sec'] },
          { ids: ['scheduler.forks_per_sec'] },
          { ids: ['kernel.open_files_percent', 'kernel.threads_percent'], title: 'Tables' },
        ],
      },
      { title: 'Saturation', figures: [{ ids: ['scheduler.running', 'scheduler.blocked'], title: 'Threads' }, { ids: ['scheduler.run_queue_wait'] }, pressure('irq', 'Pressure of interrupts')] },
      { title: 'Interrupts', figures: [{ ids: ['scheduler.interrupts.per_sec'], title: 'Interrupts', most: 8 }, { ids: ['scheduler.softirqs.per_sec'], title: 'Soft interrupts', most: 8 }] },
      { title: 'Errors', figures: [{ ids: ['kernel.hardware_errors_corrected', 'kernel.hardware_errors_uncorrected'], title: 'Hardware' }, { ids: ['kernel.clock_max_error_ms'] }] },
    ],
    objects: [],
  },
};

/** Cards of the page about counters, the raw events below them, and how much of the time those were counted. */
export const CARDS = [
  'perf_events.derived.ipc', 'perf_events.derived.effective_ghz', 'perf_events.derived.branch_miss_percent', 'perf_events.derived.l1d_mpki', 'perf_events.derived.llc_mpki',
  'perf_events.derived.dtlb_mpki', 'perf_events.derived.itlb_mpki', 'perf_events.derived.context_switches_per_sec', 'perf_events.derived.cpu_migrations_per_sec', 'perf_events.derived.page_faults_per_sec',
];
export const EVENT_VALUE = 'perf_events.events.value';
export const EVENT_COVERAGE = 'perf_events.running_pct';

/** What PerfWatch itself takes: over time, and for each collector. */
export const OWN: Figure[] = [{ ids: ['self.cpu_percent'] }, { ids: ['self.rss_bytes'] }, { ids: ['self.collectors.cpu_ms'], title: 'CPU time by collector', most: 5 }, { ids: ['self.store_bytes'] }];
export const OWN_COLLECTORS = ['self.collectors.cpu_ms', 'self.collectors.read_bytes'];

/** What Explore and Compare begin with. */
export const FIRST_LOOK = ['cpu.usage_percent'];
export const FIRST_COMPARISON = ['cpu.usage_percent', 'memory.usage_percent', 'disk.devices.write_bytes_per_sec', 'network.interfaces.bytes_recv_per_sec'];

export const PAGES: { path: string; title: string }[] = [
  { path: '/', title: 'Overview' },
  { path: '/cpu', title: 'CPU' },
  { path: '/memory', title: 'Memory' },
  { path: '/disk', title: 'Disk' },
  { path: '/network', title: 'Network' },
  { path: '/kernel', title: 'Kernel' },
  { path: '/counters', title: 'Counters' },
  { path: '/explore', title: 'Explore' },
  { path: '/compare', title: 'Compare' },
];
