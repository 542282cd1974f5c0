/** CONFIG bodies on damaged bytes, and what makes a config none (WAL-37, WAL-38). */
import t from 'tap'
import { ADDRESS_CHARS_LIMIT, splitAddress } from '../../protocol/address.ts'
import {
  type ClusterConfig,
  CONFIG_BYTES_LIMIT,
  type ConfigRecord,
  decodeConfig,
  EMPTY_CONFIG,
  encodeConfig,
  type Member,
} from '../../protocol/cluster-config.ts'
import { nodeId } from '../../protocol/ids.ts'
import { codeOf, flips, prefixes, valueOrCode } from './damage.ts'
import { vectorsOfType } from './golden-file.ts'

const vectors = vectorsOfType('config')

t.test('WAL-37: a body that is cut, or has one byte more, is refused', (t) => {
  for (const { name, bytes } of vectors) {
    for (const prefix of prefixes(bytes)) {
      if (codeOf(() => decodeConfig(prefix, {})) !== 'ENTRY_MALFORMED') t.fail(`${name} cut at ${prefix.length}`)
    }
    const longer = Buffer.concat([bytes, Buffer.alloc(1)])
    t.equal(
      codeOf(() => decodeConfig(longer, {})),
      'ENTRY_MALFORMED',
      name,
    )
  }
  t.end()
})

t.test('WAL-37 WAL-38: a flipped bit gives another config or a typed error, never the same config', (t) => {
  for (const { name, bytes } of vectors) {
    for (const { bytes: flipped, bit } of flips(bytes)) {
      const result = valueOrCode(() => decodeConfig(flipped, {}))
      const inLevel = bit < 32
      if ('value' in result) t.ok(encodeConfig(result.value).equals(flipped), `${name} bit ${bit}`)
      else t.ok(['ENTRY_MALFORMED', inLevel ? 'FRAME_VERSION_UNSUPPORTED' : ''].includes(result.code), `bit ${bit}`)
    }
  }
  t.end()
})

const member = (row: number, fields: Partial<Member> = {}): Member => ({
  row,
  address: `host${row}:7400`,
  inSync: true,
  via: 0,
  ...fields,
})

const recordOf = (config: Partial<ClusterConfig>): ConfigRecord => ({
  masterId: nodeId('0b9d1e2f-3a4b-4c5d-8e6f-778899aabbcc'),
  masterAddress: '127.0.0.1:7400',
  config: { ...EMPTY_CONFIG, number: 1, ...config },
})

t.test('WAL-38: a config that makes no sense is neither written nor read', (t) => {
  const async = { inSync: false }
  const wrong: Readonly<Record<string, Partial<ClusterConfig>>> = {
    'rows that descend': { members: [member(2), member(1)] },
    'one row twice': { members: [member(2), member(2, { address: 'other:1' })] },
    'row 0': { members: [member(0)] },
    'row 16': { members: [member(16)] },
    'one address twice': { members: [member(1), member(2, { address: 'host1:7400' })] },
    'an address without a port': { members: [member(1, { address: 'host' })] },
    'an address beyond ASCII': { members: [member(1, { address: 'h\u00f6st:7400' })] },
    'fed by nobody': { members: [member(1, { ...async, via: 2 })] },
    'fed by itself': { members: [member(1, { ...async, via: 1 })] },
    'fed in a ring': { members: [member(1, { ...async, via: 2 }), member(2, { ...async, via: 1 })] },
    'in-sync and fed by a replica': { members: [member(1), member(2, { via: 1 })] },
    'a quorum of 16': { quorum: 16 },
    'format level 0': { formatLevel: 0 },
    'more than 2^53 changes': { number: 2 ** 53 },
  }
  for (const [what, config] of Object.entries(wrong)) t.throws(() => encodeConfig(recordOf(config)), what)

  const good = recordOf({ quorum: 1, members: [member(1), member(2, { ...async, via: 1 })] })
  const bytes = encodeConfig(good)
  t.same(decodeConfig(bytes, {}), good)
  const first = 40 + good.masterAddress.length
  const second = first + 6 + 'host1:7400'.length
  const damaged: Readonly<Record<string, [number, number]>> = {
    'one row twice': [second, 1],
    'fed by itself': [second + 2, 2],
    'fed by nobody': [second + 2, 3],
    'in-sync and fed by a replica': [second + 1, 1],
    'a flag that nobody knows': [first + 1, 2],
    'something in the zero': [first + 3, 1],
    'a quorum of 16': [4, 16],
    'more members than there are bytes': [5, 3],
  }
  for (const [what, [at, byte]] of Object.entries(damaged)) {
    const copy = Buffer.from(bytes)
    copy[at] = byte
    t.throws(() => decodeConfig(copy, { channel: 0 }), { code: 'ENTRY_MALFORMED', where: { channel: 0 } }, what)
  }
  t.end()
})

t.test('WAL-38: a newer format level is its own error, whatever stands behind it', (t) => {
  const bytes = Buffer.alloc(CONFIG_BYTES_LIMIT, 0xff)
  bytes.writeUInt32LE(2, 0)
  t.throws(() => decodeConfig(bytes, {}), { code: 'FRAME_VERSION_UNSUPPORTED', message: /format level 2/ })
  t.end()
})

t.test('the largest config fits into its limit', (t) => {
  const longest = (row: number): string => `${'h'.repeat(ADDRESS_CHARS_LIMIT - 8)}${String(row).padStart(2, '0')}:65535`
  const members = Array.from({ length: 15 }, (_, i) => member(i + 1, { address: longest(i + 1) }))
  const bytes = encodeConfig({ ...recordOf({ quorum: 15, members }), masterAddress: longest(0) })
  t.equal(bytes.length, CONFIG_BYTES_LIMIT)
  t.same(decodeConfig(bytes, {}).config.members, members)
  t.end()
})

t.test('addresses', (t) => {
  const good: Readonly<Record<string, readonly [string, number]>> = {
    'a:1': ['a', 1],
    '10.0.0.1:65535': ['10.0.0.1', 65_535],
    '[::1]:7400': ['::1', 7400],
    'my-host.example:07400': ['my-host.example', 7400],
  }
  for (const [address, parts] of Object.entries(good)) t.same(splitAddress(address), parts, address)
  for (const bad of [
    '',
    'a',
    'a:',
    ':1',
    'a:0',
    'a:65536',
    'a:1x',
    '::1:7400',
    '[x]:1',
    'a b:1',
    `${'a'.repeat(261)}:1`,
  ])
    t.equal(splitAddress(bad), undefined, bad)
  t.end()
})
