internal import HTTPCaching
internal import NIOConcurrencyHelpers

/// A body file being written: under a partial name until it is complete. Used by one thread at a time.
final class SpoolFile: Sendable {
    private enum Phase {
        case open(CInt)
        case named
        case discarded
    }

    private let id: Int64
    private let folder: DiskFolder
    private let files: any DiskFiles
    private let phase: NIOLockedValueBox<Phase>

    init(id: Int64, folder: DiskFolder, files: any DiskFiles) throws {
        self.id = id
        self.folder = folder
        self.files = files
        self.phase = NIOLockedValueBox(.open(try files.create(folder.partialBody(id))))
    }

    deinit {
        self.phase.withLockedValue { phase in
            guard case .open(let descriptor) = phase else { return }
            self.files.close(descriptor)
            self.files.remove(self.folder.partialBody(self.id))
        }
    }

    func append(_ bytes: UnsafeRawBufferPointer) throws {
        guard case .open(let descriptor) = self.phase.withLockedValue({ $0 }) else { return }
        try self.files.write(descriptor, bytes)
    }

    /// Gives the complete file its name.
    func finish(flushes: Bool) throws {
        guard case .open(let descriptor) = self.phase.withLockedValue({ $0 }) else { return }
        if flushes { try self.files.flush(descriptor) }
        try self.files.rename(self.folder.partialBody(self.id), to: self.folder.body(self.id))
        self.phase.withLockedValue { $0 = .named }
        self.files.close(descriptor)
    }

    /// Removes it, unless it has its name already.
    func discard() {
        self.phase.withLockedValue { phase in
            guard case .open(let descriptor) = phase else { return }
            phase = .discarded
            self.files.close(descriptor)
            self.files.remove(self.folder.partialBody(self.id))
        }
    }
}
