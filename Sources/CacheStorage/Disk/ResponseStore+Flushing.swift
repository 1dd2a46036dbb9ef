internal import NIOPosix

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#endif

extension ResponseStore {
    /// Has the disk hold what its index was told, so that a loss of power does not undo it. `purgeDurably` alone guards against
    /// the process's end: SQLite in WAL mode with `synchronous=NORMAL` flushes when it checkpoints.
    ///
    /// - Throws: `DiskStoreError`.
    public func flushIndex() async throws {
        guard let disk = self.disk else { return }
        // A checkpoint flushes the log before it uses it, and the index before it drops the log.
        let path: String = disk.folder.index + "-wal"
        try await disk.readers.runIfActive { try flushFile(path) }
    }
}

/// - Throws: `DiskStoreError`. A file that is not there has nothing to flush.
private func flushFile(_ path: String) throws {
    func failure() -> DiskStoreError {
        DiskStoreError(path: path, reason: "it can't be flushed: \(String(cString: strerror(errno)))")
    }
    let descriptor: CInt = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
    guard descriptor >= 0 else {
        if errno == ENOENT { return }
        throw failure()
    }
    defer { close(descriptor) }
    guard fsync(descriptor) == 0 else { throw failure() }
}
