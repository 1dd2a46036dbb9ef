#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Writing: what is written meets the rule that reading asks for.
extension SecretFile {
    /// Why a file was not written. The old one, if there was one, is as it was.
    public struct WriteError: Error, Equatable, Sendable, CustomStringConvertible {
        public var path: String
        /// The value of `errno`.
        public var number: Int32

        public var description: String { "cannot write \"\(self.path)\": \(String(cString: strerror(self.number)))" }
    }

    /// Puts a text in a file's place, for its owner alone (0600): after a crash at any moment there is the old text or the new
    /// one, on disk and whole.
    ///
    /// Not for several writers of one file at once. A link at the path is replaced, not followed.
    ///
    /// - Parameter keepsReaders: The new file has the owner, the group and the mode (0640 at most) of the file that it replaces,
    ///   which met the rule for secrets when it was read: whichever service reads it can read it on.
    public static func write(_ text: String, to path: String, keepsReaders: Bool = false) throws(WriteError) {
        var old = stat()
        let hasOld = keepsReaders && lstat(path, &old) == 0 && old.st_mode & S_IFMT == S_IFREG
        let temporary = "\(path).new"
        guard unlink(temporary) == 0 || errno == ENOENT else { throw WriteError(path: path, number: errno) }
        let descriptor = createFile(temporary)
        guard descriptor >= 0 else { throw WriteError(path: path, number: errno) }
        var failure = Self.writeAll(text, to: descriptor)
        if failure == 0, hasOld,
            fchown(descriptor, old.st_uid, old.st_gid) != 0 || fchmod(descriptor, old.st_mode & 0o640) != 0
        {
            failure = errno
        }
        if failure == 0, fsync(descriptor) != 0 { failure = errno }
        if close(descriptor) != 0, failure == 0 { failure = errno }
        if failure == 0, renameFile(temporary, path) != 0 { failure = errno }
        guard failure == 0 else {
            _ = unlink(temporary)
            throw WriteError(path: path, number: failure)
        }
        try Self.syncFolder(of: path)
    }

    /// Makes a file for its owner alone (0600), where none is: what is there is not replaced (`EEXIST`), and not followed if it is a link.
    public static func create(_ text: String, at path: String) throws(WriteError) {
        let descriptor = createFile(path)
        guard descriptor >= 0 else { throw WriteError(path: path, number: errno) }
        var failure = Self.writeAll(text, to: descriptor)
        if failure == 0, fsync(descriptor) != 0 { failure = errno }
        if close(descriptor) != 0, failure == 0 { failure = errno }
        guard failure == 0 else {
            _ = unlink(path)
            throw WriteError(path: path, number: failure)
        }
        try Self.syncFolder(of: path)
    }

    /// Takes a file away, if it is there.
    public static func remove(_ path: String) throws(WriteError) {
        guard unlink(path) == 0 else {
            if errno == ENOENT { return }
            throw WriteError(path: path, number: errno)
        }
        try Self.syncFolder(of: path)
    }

    /// Gives a file another name, in the place of whatever had it.
    public static func rename(_ path: String, to other: String) throws(WriteError) {
        guard renameFile(path, other) == 0 else { throw WriteError(path: path, number: errno) }
        try Self.syncFolder(of: other)
    }

    /// Makes a folder and those above it that are missing, for their owner alone (0700).
    public static func makeFolder(_ path: String) throws(WriteError) {
        var status = stat()
        if stat(path, &status) == 0 {
            guard status.st_mode & S_IFMT == S_IFDIR else { throw WriteError(path: path, number: ENOTDIR) }
            return
        }
        if let slash = path.lastIndex(of: "/"), slash != path.startIndex { try Self.makeFolder(String(path[..<slash])) }
        guard mkdir(path, 0o700) == 0 || errno == EEXIST else { throw WriteError(path: path, number: errno) }
        try Self.syncFolder(of: path)
    }

    private static func writeAll(_ text: String, to descriptor: CInt) -> Int32 {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { writeBytes(descriptor, $0.baseAddress, $0.count) }
            if count >= 0 {
                rest = rest.dropFirst(count)
            } else if errno != EINTR {
                return errno
            }
        }
        return 0
    }

    /// A name is on disk when its folder is.
    private static func syncFolder(of path: String) throws(WriteError) {
        let folder = path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        let descriptor = openFolder(folder)
        guard descriptor >= 0 else { throw WriteError(path: path, number: errno) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw WriteError(path: path, number: errno) }
    }
}

// The system's functions, by names that the methods above do not hide.

private func createFile(_ path: String) -> CInt {
    open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
}

private func openFolder(_ path: String) -> CInt { open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) }

private func renameFile(_ path: String, _ other: String) -> CInt { rename(path, other) }

private func writeBytes(_ descriptor: CInt, _ buffer: UnsafeRawPointer?, _ count: Int) -> Int {
    write(descriptor, buffer, count)
}
