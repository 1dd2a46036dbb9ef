import ArgumentParser
import HSMKeys
import HSMWorker

/// Hidden: the process in which a key holder has the PKCS #11 module run.
struct HSMWorkerCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: HSMKeyStore.workerCommand, abstract: "Run a PKCS #11 module for a key holder.",
        shouldDisplay: false)

    func run() throws {
        MemoryProtection.forbidDumps()
        guard WorkerLoop.run() else { throw ExitCode.failure }
    }
}
