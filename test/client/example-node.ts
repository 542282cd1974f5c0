/**
 * The nodes against which the examples of docs/CLIENT.md run: real ones. Whatever stands behind this function, they must not
 * notice.
 */
import { Cluster, type Teardown } from '../daemon/cluster.ts'

/** A master with one replica in its in-sync set. @returns the address of the master's control channel */
export async function startExampleNode(t: Teardown): Promise<string> {
  const cluster = await Cluster.start(t, { channels: 2, replicas: 1 })
  await cluster.untilStreaming()
  return `127.0.0.1:${cluster.node('m').port}`
}
