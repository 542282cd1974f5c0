/**
 * What `verify` can find wrong with a whole log, beyond single frames (verify-channel.ts): each finding with its place and
 * what to do.
 */
import { TravertineError } from '../protocol/errors.ts'
import type { ChannelWalk } from './channel-walk.ts'
import type { SealFound } from './verify-channel.ts'

export function noBegin(walk: ChannelWalk): TravertineError {
  const { channel, firstPosition } = walk
  const found = walk.capacityEnd() === 0 ? 'no file' : `its oldest byte at position ${firstPosition}`
  return new TravertineError(
    'LOG_DAMAGED',
    `Cannot verify channel ${channel} from its begin: found ${found}, expected position 0`,
    {
      where: { file: walk.pathAt(firstPosition), channel, offset: firstPosition },
      hint: 'a segment is missing; restore it from a replica',
    },
  )
}

export function sealMissing(walk: ChannelWalk, epoch: SealFound, found: SealFound): TravertineError {
  const { channel } = walk
  return new TravertineError(
    'LOG_DAMAGED',
    `Cannot follow the epochs: found the seal of epoch ${found.epoch} on channel ${channel}, expected that of ${epoch.epoch} first, as channel ${epoch.channel} names it`,
    {
      where: { file: walk.pathAt(found.position), channel, offset: found.position, epoch: epoch.epoch },
      hint: WRONG_CHAIN,
    },
  )
}

export function chainBroken(first: SealFound, file: string, whole: bigint): TravertineError {
  const { channel, position, epoch, prev } = first
  return new TravertineError(
    'LOG_DAMAGED',
    `Cannot follow the epochs: found epoch ${prev} as the one before ${epoch}, expected ${whole}`,
    { where: { file, channel, offset: position, epoch }, hint: WRONG_CHAIN },
  )
}

const WRONG_CHAIN =
  'every frame is as it was written, so a program has written this log wrongly: keep the directory and report it'

export function incomplete(walk: ChannelWalk, whole: bigint, expected: string): TravertineError {
  const { channel, position } = walk
  return new TravertineError(
    'LOG_INCOMPLETE',
    `Cannot find all epochs: found epoch ${whole} as the last whole one, expected at least ${expected}`,
    {
      where: { file: walk.pathAt(position), channel, epoch: whole },
      hint: 'flushed bytes are gone: keep the directory, and let a replica take over',
    },
  )
}
