/**
 * Defects that the simulator has to find, planted one at a time: the list. Replacements in compiled files, as in
 * test/board/mutants.ts, whose machines are among them; each text occurs exactly once, so that a mutant cannot quietly
 * become none.
 */
import { MUTANTS, type Mutant } from '../board/mutants.ts'

export interface SimMutant {
  readonly name: string
  /** dist file -> texts and what takes their place */
  readonly patches: Readonly<Record<string, readonly (readonly [string, string])[]>>
}

const MACHINES = 'wal/board-machine.js'

function ofMachines(name: string, as = name): SimMutant {
  const found: Mutant | undefined = MUTANTS.find((mutant) => mutant.name === name)
  if (found?.replacements === undefined) throw new Error(`Cannot plant a mutant: there is none named ${name}`)
  return { name: as, patches: { [MACHINES]: found.replacements } }
}

export const SIM_MUTANTS: readonly SimMutant[] = [
  ofMachines('cell cleared before fdatasync', 'acknowledging before fdatasync'),
  {
    name: 'ignoring one participant of a seal',
    patches: {
      [MACHINES]: [
        [
          'if (board.part(this.layer, this.channel) === this.layer)',
          'if (this.channel >= this.#state.me && board.part(this.layer, this.channel) === this.layer)',
        ],
      ],
    },
  },
  // (to seal an epoch late that somebody else has closed meanwhile would be harmless: no later one is STORED before)
  ofMachines('announced without a second look at E', 'stamping a session with a closed epoch'),
  {
    name: "counting a replica's received position as durable",
    patches: {
      'daemon/io/replica-channel.js': [
        [
          'if (this.#log.endsInSeal && link.reader.pendingBytes === 0)',
          `if (this.#log.wantsFlush) link.connection.write(encodeDurableReply(this.#log.receivedPosition, this.#log.receivedPosition, 0));
        if (this.#log.endsInSeal && link.reader.pendingBytes === 0)`,
        ],
      ],
    },
  },
  {
    name: 'a feeder that passes on what it has not flushed',
    patches: {
      'daemon/io/replica-channel.js': [
        [
          'this.#log.accept(buffer',
          'this.rows.offer(this.#log.receivedPosition, [Buffer.from(buffer.subarray(at, at + bytes))], bytes) ?? this.#log.accept(buffer',
        ],
      ],
    },
  },
  {
    name: 'truncating at damage in the middle',
    patches: {
      'wal/recover.js': [
        [
          'if (collector.provenPosition > reached)',
          'if (collector.provenPosition > reached)\n            collector.provenPosition = reached;\n        if (false)',
        ],
      ],
    },
  },
  {
    name: 'a manifest whose checksum nobody compares',
    patches: { 'wal/small-record.js': [[' || hex8(crc32(json)) !== header[3]', '']] },
  },
  {
    name: 'a damaged recovery point that keeps a node from starting',
    patches: { 'wal/recovery-point.js': [["error.code !== 'DISK_FAILED'", 'false']] },
  },
  ofMachines('participation mark before cells'),
  ofMachines('cells read before E'),
  ofMachines('ack that forgets the announced epoch'),
  {
    name: 'slots cleared by a closer',
    patches: {
      'wal/board.js': [
        [
          '    /** The epoch shown outside',
          '    clearPart(layer, channel) {\n        Atomics.store(this.#word, this.#partIndex(layer, channel), 0n);\n    }\n    /** The epoch shown outside',
        ],
      ],
      [MACHINES]: [
        [
          "board.close(state.announced);\n                this.#beginSeal('seal');\n                return false;",
          `board.close(state.announced);
                this.at = 'clearSlots';
                return false;
            case 'clearSlots':
                for (let c = 0; c < board.shape.channels; c++) board.clearPart(state.announced + 1n, c);
                this.#beginSeal('seal');
                return false;`,
        ],
      ],
    },
  },
  ofMachines("waiting in flush for one's own cell"),
  ofMachines('STORED computed but not published'),
  ofMachines('waiting flag set after the scan'),
  {
    name: 'a whole chain without `prev`',
    patches: {
      'wal/whole-epoch.js': [
        [
          'const byPrev = new Map();',
          'const byPrev = new Map();\n    const epochs = [...new Set(options.seals.map((s) => s.epoch))].filter((e) => e > options.anchor).sort((a, b) => (a < b ? -1 : 1));\n    const before = (e) => epochs[epochs.indexOf(e) - 1] ?? options.anchor;',
        ],
        [
          'const group = byPrev.get(seal.prev);',
          'const prev = before(seal.epoch);\n        const group = byPrev.get(prev);',
        ],
        ['byPrev.set(seal.prev, [seal])', 'byPrev.set(prev, [seal])'],
      ],
    },
  },
  {
    name: 'a row that mixes two lives of a replica',
    patches: {
      'daemon/core/replication-session.js': [['if (this.#rowsDown.size < this.#options.facts.channels)', 'if (false)']],
    },
  },
  {
    name: 'a restart without a new term',
    patches: {
      'wal/mastership.js': [
        [
          'const term = nextTerm(options);',
          'const last = options.manifest.history.at(-1);\n    const term = last?.term.nodeId === options.manifest.nodeId ? last.term : nextTerm(options);',
        ],
        [
          '[...options.manifest.history, mastership]',
          'term === last?.term ? options.manifest.history : [...options.manifest.history, mastership]',
        ],
      ],
    },
  },
  {
    name: 'a replica that cuts a partial epoch by itself',
    patches: {
      'daemon/open-log.js': [
        [
          'const ends = scans.map((scan) => scan.end);',
          'const ends = scans.map((scan) => scan.seals.findLast((seal) => seal.epoch <= whole.whole)?.end ?? scan.from);',
        ],
      ],
    },
  },
  {
    name: 'forgetting the directory fsync after creating a segment',
    patches: {
      'wal/segments.js': [['disk.rename(side, path);\n    disk.syncDirectory(directory);', 'disk.rename(side, path);']],
    },
  },
  {
    name: 'resending without the producer check',
    patches: { 'wal/producer-claim.js': [['const sequence = entry?.last ?? 0', 'const sequence = 0']] },
  },
  {
    name: 'a producer table that a start does not rebuild',
    patches: {
      'wal/producer.js': [['new Producer(id, note), state, limits)', 'new Producer(id, note), undefined, limits)']],
    },
  },
]
