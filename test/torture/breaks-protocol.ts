/** The shipped client and a node do not agree about the numbers of its sessions: never a fault of the world, so no load may see it. */
import type { ClientError } from '../../client/client.ts'
import { TravertineError } from '../../protocol/errors.ts'

export const breaksProtocol = ({ cause }: ClientError): boolean =>
  cause instanceof TravertineError && cause.code === 'PRODUCER_SEQUENCE'
