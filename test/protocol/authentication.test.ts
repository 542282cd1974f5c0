/** REP-50 to REP-54: the shared-secret handshake, against bytes made by another program, and everything that must not pass. */
import t from 'tap'
import {
  AuthInitiator,
  AuthResponder,
  keyIdOf,
  type PeerRole,
  parseSecretFile,
  type SharedSecret,
} from '../../protocol/authentication.ts'
import { type ErrorCode, TravertineError } from '../../protocol/errors.ts'

const SECRET = '0123456789abcdef0123456789abcdef'
const OTHER = 'fedcba9876543210fedcba9876543210'
const INITIATOR_NONCE = Buffer.from('000102030405060708090a0b0c0d0e0f', 'hex')
const RESPONDER_NONCE = Buffer.from('101112131415161718191a1b1c1d1e1f', 'hex')
const writers: SharedSecret = { secret: SECRET, roles: ['reader', 'writer'] }

/** From Python's hmac module. */
const KEY_ID = 'edf716e99100088e3e23b72aae2a7d43'
const RESPONDER_PROOF = 'c0c0b5686ae0b19eea0c38805f710b989803e5673df68b905af7e500fd400108'
const INITIATOR_PROOF = 'e33c1eaf3db210b94c26bd0b3f90de5c86dc3a027bf7335d4fa6f6628710be47'

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

function codeOf(act: () => unknown): ErrorCode | 'nothing thrown' {
  try {
    act()
    return 'nothing thrown'
  } catch (error) {
    if (error instanceof TravertineError) return error.code
    throw error
  }
}

/** The whole exchange; `meddle` may change what is on its way. */
function exchange(
  initiator: AuthInitiator,
  responder: AuthResponder,
  meddle: { begin?: object; challenge?: object; proof?: object } = {},
): PeerRole {
  const challenge = responder.challenge({ ...initiator.begin(), ...meddle.begin })
  return responder.accept({ ...initiator.prove({ ...challenge, ...meddle.challenge }), ...meddle.proof })
}

t.test('REP-51 REP-52: key id and proofs are those of another program', (t) => {
  const initiator = new AuthInitiator(writers, 'writer', INITIATOR_NONCE)
  const responder = new AuthResponder([writers], RESPONDER_NONCE)
  t.equal(hex(keyIdOf(SECRET)), KEY_ID)
  const challenge = responder.challenge(initiator.begin())
  t.equal(hex(challenge.proof), RESPONDER_PROOF)
  t.equal(hex(initiator.prove(challenge).proof), INITIATOR_PROOF)
  t.equal(responder.accept({ type: 'auth_proof', proof: Buffer.from(INITIATOR_PROOF, 'hex') }), 'writer')
  t.end()
})

t.test('REP-51: two valid secrets, and roles that a secret does not give', (t) => {
  const secrets: SharedSecret[] = [{ secret: OTHER, roles: ['admin'] }, writers]
  const as = (secret: SharedSecret, role: PeerRole): PeerRole =>
    exchange(new AuthInitiator(secret, role, INITIATOR_NONCE), new AuthResponder(secrets, RESPONDER_NONCE))
  t.equal(as(writers, 'reader'), 'reader')
  t.equal(as({ secret: OTHER, roles: ['admin'] }, 'admin'), 'admin')
  t.equal(
    codeOf(() => as(writers, 'admin')),
    'PERMISSION_DENIED',
  )
  t.equal(
    codeOf(() => as({ secret: `${SECRET}x`, roles: ['writer'] }, 'writer')),
    'AUTHENTICATION_FAILED',
  )
  t.end()
})

t.test('REP-52 REP-53: whatever is changed or used again on the way fails', (t) => {
  const fresh = (): [AuthInitiator, AuthResponder] => [
    new AuthInitiator(writers, 'writer', INITIATOR_NONCE),
    new AuthResponder([writers], RESPONDER_NONCE),
  ]
  const changes: Parameters<typeof exchange>[2][] = [
    { begin: { nonce: RESPONDER_NONCE } },
    { begin: { role: 'reader' } }, // a proof for one role is none for another
    { challenge: { nonce: INITIATOR_NONCE } },
    { challenge: { proof: Buffer.alloc(32) } },
    { challenge: { proof: Buffer.from(INITIATOR_PROOF, 'hex') } }, // reflected
    { proof: { proof: Buffer.from(RESPONDER_PROOF, 'hex') } },
    { proof: { proof: Buffer.alloc(32) } },
  ]
  for (const change of changes) {
    t.equal(
      codeOf(() => exchange(...fresh(), change)),
      'AUTHENTICATION_FAILED',
      JSON.stringify(change),
    )
  }
  const replayed = new AuthResponder([writers], Buffer.alloc(16, 9)) // another connection: another nonce
  replayed.challenge(fresh()[0].begin())
  t.equal(
    codeOf(() => replayed.accept({ type: 'auth_proof', proof: Buffer.from(INITIATOR_PROOF, 'hex') })),
    'AUTHENTICATION_FAILED',
  )
  const [initiator, responder] = fresh()
  t.equal(
    codeOf(() => responder.accept({ type: 'auth_proof', proof: Buffer.from(INITIATOR_PROOF, 'hex') })),
    'AUTHENTICATION_FAILED',
    'a proof before it was asked for',
  )
  responder.challenge(initiator.begin())
  t.equal(
    codeOf(() => responder.challenge(initiator.begin())),
    'AUTHENTICATION_FAILED',
    'one exchange a connection',
  )
  t.end()
})

t.test('no error and no message holds a secret', (t) => {
  const texts: string[] = []
  for (const text of [`all ${SECRET} ${OTHER}`, `boss ${SECRET}`, `all ${SECRET.slice(1)}`, SECRET, '', '# nothing']) {
    try {
      parseSecretFile(text, 'secrets')
      t.fail(text)
    } catch (error) {
      if (!(error instanceof TravertineError)) throw error
      t.equal(error.code, 'CONFIG_INVALID')
      texts.push(error.describe())
    }
  }
  const initiator = new AuthInitiator(writers, 'writer', INITIATOR_NONCE)
  const challenge = new AuthResponder([writers], RESPONDER_NONCE).challenge(initiator.begin())
  texts.push(JSON.stringify([initiator.begin(), challenge, initiator.prove(challenge)]))
  for (const text of texts) t.notMatch(text, SECRET.slice(4, 20))
  t.end()
})

t.test('a secret file: comments, blanks, several secrets, and the line of what is wrong', (t) => {
  t.same(parseSecretFile(`# old\n\nall ${SECRET}\n  reader,writer\t${OTHER}\n`, 'secrets'), [
    { secret: SECRET, roles: ['reader', 'writer', 'replica', 'admin'] },
    { secret: OTHER, roles: ['reader', 'writer'] },
  ])
  try {
    parseSecretFile(`all ${SECRET}\nreader,king ${OTHER}\n`, '/etc/secrets')
    t.fail('an unknown role')
  } catch (error) {
    t.match(error, { code: 'CONFIG_INVALID', where: { file: '/etc/secrets', line: 2 } })
  }
  t.end()
})
