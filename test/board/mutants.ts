/**
 * The ways to get the board wrong that DESIGN 4 names, and some more, planted one at a time.
 *
 * Most are replacements in the compiled text of wal/board-machine.js, imported from a temporary copy: production code has
 * no hooks. Each text must occur exactly once, so that a mutant cannot quietly become no mutant. The rule of recovery and
 * the world around the board have theirs in this directory.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { BoardMachines } from './channel-driver.ts'
import { type Configuration, configuration } from './configuration.ts'
import { type RecoveryRule, recoveryRuleWithoutPrev } from './recovery-rule.ts'
import type { WorldDefects } from './world.ts'

export interface Mutant {
  /** The wrong variants that DESIGN 4 names carry its words. */
  readonly name: string
  readonly config: Configuration
  /** Letter of the property that must fail. */
  readonly property: string
  readonly replacements?: readonly (readonly [string, string])[]
  readonly defects?: WorldDefects
  readonly recoveryRule?: RecoveryRule
}

const TWO = configuration({ sessions: [2, 1], exact: true })
/** With BOUND = 2 no epoch is closed before the one before it is STORED: none can vanish before another. */
const BOUND_3 = configuration({ sessions: [1, 1], ring: 3, bound: 3, exact: true })
const REPLICA = configuration({ sessions: [1, 1], replica: true, exact: true })
const TWO_LIVES = configuration({
  sessions: [1, 1],
  ring: 4,
  bound: 4,
  replica: true,
  breaks: 1,
  lives: 2,
  exact: true,
})

/** The nine ways of DESIGN 4; the last has two sides. */
export const NAMED_MUTANTS: readonly Mutant[] = [
  {
    name: 'participation mark before cells',
    config: TWO,
    property: 'a',
    replacements: [
      ["this.row = 0;\n                this.at = 'cellLoad';", "this.row = 0;\n                this.at = 'recheck';"],
      [
        "board.setPart(this.layer, me);\n                this.at = 'confirm';",
        "board.setPart(this.layer, me);\n                this.at = 'cellLoad';",
      ],
      ["? 'cellLoad' : 'recheck'", "? 'cellLoad' : 'confirm'"],
    ],
  },
  {
    name: 'cells read before E',
    config: TWO,
    property: 'a',
    replacements: [
      [
        "this.policy = board.policy();\n                this.at = 'open';",
        "this.policy = board.policy();\n                this.top = 200n; // as good as none\n                this.#beginRow(0);\n                this.at = 'cells';",
      ],
      [
        "this.top = board.open();\n                this.#beginRow(0);\n                this.at = 'cells';",
        "this.top = board.open() - 1n;\n                this.durable = this.durable.map((d) => (d < this.top ? d : this.top));\n                this.at = 'stored';",
      ],
      [
        "else\n            this.at = 'stored';\n        return false;",
        "else\n            this.at = 'open';\n        return false;",
      ],
    ],
  },
  {
    name: 'ack that forgets the announced epoch',
    config: REPLICA,
    property: 'b',
    replacements: [['port.firstSealBeyond(this.position) ?? announced', 'port.firstSealBeyond(this.position) ?? NONE']],
  },
  {
    name: 'slots cleared by a closer',
    config: TWO,
    property: 'e',
    replacements: [
      [
        "board.close(state.announced);\n                this.#beginSeal('seal');\n                return false;",
        `board.close(state.announced);
                this.at = 'clearSlots';
                return false;
            case 'clearSlots': // an older layer in the next slot is as good as none
                for (let c = 0; c < board.shape.channels; c++) board.setPart(state.announced + 1n - BigInt(board.shape.ring), c);
                this.#beginSeal('seal');
                return false;`,
      ],
    ],
  },
  {
    name: "waiting in flush for one's own cell",
    config: TWO,
    property: 'f',
    replacements: [
      [
        "else if (this.rechecked)\n                    this.at = 'send';",
        "else if (false)\n                    this.at = 'send';",
      ],
    ],
  },
  {
    name: 'STORED computed but not published',
    config: TWO,
    property: 'f',
    replacements: [['if (board.tryRaiseStored(this.stored, this.durable[0])) {', 'if (true) {']],
  },
  {
    name: 'waiting flag set after the scan',
    config: TWO,
    property: 'f',
    replacements: [
      ["this.at = 'flag';", "this.at = 'policy';"],
      [
        "port.hasUnanswered());\n                this.at = 'policy';",
        "port.hasUnanswered());\n                this.at = 'answer';",
      ],
      ["? 'raisePropagated' : 'answer';", "? 'raisePropagated' : 'flag';"],
      [
        "this.raised = true;\n                    this.at = 'answer';",
        "this.raised = true;\n                    this.at = 'flag';",
      ],
    ],
  },
  { name: 'a whole chain without `prev`', config: BOUND_3, property: 'e', recoveryRule: recoveryRuleWithoutPrev },
  {
    name: 'a row that mixes two lives of a replica: up too early',
    config: TWO_LIVES,
    property: 'b',
    defects: { rowUpEarly: true },
  },
  {
    name: 'a row that mixes two lives of a replica: acks of a former session',
    config: TWO_LIVES,
    property: 'b',
    defects: { staleAcks: true },
  },
]

/** Other orders and checks that the machines rest on. */
const ours: readonly Mutant[] = [
  {
    name: 'who raises STORED does not wake himself where BOUND keeps his layer open',
    config: TWO,
    property: 'f',
    replacements: [
      [
        'this.channel === me ? announced !== NONE : board.takeWaiting(this.channel)',
        'this.channel !== me && board.takeWaiting(this.channel)',
      ],
    ],
  },
  {
    name: 'cell cleared before fdatasync',
    config: TWO,
    property: 'a',
    replacements: [
      [
        "port.sendUnwritten();\n                this.at = 'write';",
        "port.sendUnwritten();\n                this.at = 'clear';",
      ],
      [
        "port.writeAndSync();\n                this.at = 'clear';",
        "port.writeAndSync();\n                this.recompute.begin();\n                this.at = 'recompute';",
      ],
      [
        "board.setCell(0, me, state.announced);\n                this.recompute.begin();\n                this.at = 'recompute';",
        "board.setCell(0, me, state.announced);\n                this.at = 'write';",
      ],
    ],
  },
  {
    name: 'announced by mark, closed meanwhile, and not sealed',
    config: TWO,
    property: 'a',
    replacements: [
      [
        "this.at = 'seal';\n                return false;\n            case 'seal':",
        "this.at = 'open';\n                return false;\n            case 'seal':",
      ],
    ],
  },
  {
    name: 'announced without a second look at E',
    config: TWO,
    property: 'e',
    replacements: [['if (board.open() === this.layer) {', 'if (true) {']],
  },
  {
    name: 'PROPAGATED ahead of STORED',
    config: REPLICA,
    property: 'd',
    replacements: [['return layer < this.stored ? layer : this.stored;', 'return layer;']],
  },
  {
    name: 'nobody is woken',
    config: TWO,
    property: 'f',
    replacements: [['return !this.raised;', 'return true;']],
  },
]

export const MUTANTS: readonly Mutant[] = [...NAMED_MUTANTS, ...ours]

/** Imports wal/board-machine.js with the replacements made; everything else is the shipped code. */
export async function mutatedMachines(replacements: readonly (readonly [string, string])[]): Promise<BoardMachines> {
  const shippedUrl = new URL('../../wal/board-machine.js', import.meta.url)
  let text = readFileSync(fileURLToPath(shippedUrl), 'utf8')
  for (const [find, replace] of replacements) {
    const parts = text.split(find)
    if (parts.length !== 2)
      throw new Error(`Cannot plant a mutant: found ${parts.length - 1} places, expected 1: ${find}`)
    text = parts.join(replace)
  }
  text = text.replace(/from "(\.\/[^"]+)"/g, (_, file: string) => `from "${new URL(file, shippedUrl).href}"`)
  const directory = mkdtempSync(join(tmpdir(), 'travertine-mutant-'))
  try {
    const file = join(directory, 'board-machine.mjs')
    writeFileSync(file, text)
    return (await import(pathToFileURL(file).href)) as BoardMachines // a mutant has the exports of what it was made from
  } finally {
    rmSync(directory, { recursive: true })
  }
}
