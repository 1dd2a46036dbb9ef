internal import FleetBus
internal import NIOPosix

/// Where an edge keeps its ``FollowRecord``: beside its disk store, or nowhere.
struct RecordFile: Sendable {
    /// nil: what is stored is gone with the process, and so is this.
    let path: String?
    private let threads: NIOThreadPool?

    init(path: String?) {
        self.path = path
        self.threads = path == nil ? nil : NIOThreadPool(numberOfThreads: 1)
        self.threads?.start()
    }

    func close() async { try? await self.threads?.shutdownGracefully() }

    enum Found: Sendable {
        case none
        /// There is a file, and it can't be used.
        case damaged(String)
        case record(FollowRecord)
    }

    func read() async throws -> Found {
        guard let path, let threads else { return .none }
        return try await threads.runIfActive {
            do throws(DurableFile.Failure) {
                guard let bytes = try DurableFile.read(path) else { return .none }
                return FollowRecord(encoded: bytes).map { .record($0) } ?? .damaged("its digest does not match")
            } catch {
                return .damaged("\(error)")
            }
        }
    }

    /// Does not return before it is on disk.
    func write(_ record: FollowRecord) async throws {
        guard let path, let threads else { return }
        let bytes = record.encoded
        try await threads.runIfActive { try DurableFile.write(bytes, to: path) }
    }
}
