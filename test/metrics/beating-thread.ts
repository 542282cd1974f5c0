/** A thread that beats like a channel thread, until it is told to hang. Started by progress-watch.test.ts. */
import { parentPort, workerData } from 'node:worker_threads'
import { Heartbeat } from '../../daemon/metrics/heartbeat.ts'
import { StatSlots } from '../../daemon/metrics/stat-slots.ts'

const { memory, hang } = workerData as { memory: SharedArrayBuffer; hang: SharedArrayBuffer } // set by the test
const heartbeat = new Heartbeat(new StatSlots(memory), () => undefined)
parentPort?.on('message', (message: string) => {
  if (message === 'hang') Atomics.wait(new Int32Array(hang), 0, 0)
  else {
    heartbeat.stop()
    parentPort?.close()
  }
})
