#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// A file that holds a secret: a private key or an admin token.
///
/// One rule for all of them: a regular file that belongs to the user of this process and that no other user can read or
/// write, or that belongs to root and that others cannot write, nor any but its group read. The second half is how systems
/// hand secrets to a service (`root:service` 0640, credentials of systemd, volumes of Kubernetes).
///
/// The rule is about the file that was opened, not about its path, so that nothing can be put in its place between the look
/// and the reading. The folder is not judged: a user who may write there can remove the file, or put another file in its
/// place, but only one that meets the rule itself.
public enum SecretFile {
    /// Keys and tokens are a few KiB.
    public static let maximumBytes = 1 << 20

    /// The file's text, if it meets the rule.
    ///
    /// The buffer that it passes through is wiped; the text itself is the caller's, and Swift does not wipe strings.
    public static func read(_ path: String) throws(SecretFileError) -> String {
        let bytes = try Self.bytes(path)
        defer { Self.wipe(bytes) }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw SecretFileError(path: path, reason: .notText)
        }
        return text
    }

    /// The file's bytes, if it meets the rule. The caller wipes them.
    public static func bytes(_ path: String) throws(SecretFileError) -> [UInt8] {
        let descriptor = try Self.open(path)
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 16 * 1024)
        var length = 0
        // What is returned is a copy.
        defer { Self.wipe(bytes) }
        while true {
            if length == bytes.count {
                guard length < Self.maximumBytes else { throw SecretFileError(path: path, reason: .tooLarge) }
                var larger = [UInt8](repeating: 0, count: bytes.count * 2)
                larger.replaceSubrange(0..<length, with: bytes)
                Self.wipe(bytes)
                bytes = larger
            }
            let offset = length
            let count: Int = bytes.withUnsafeMutableBytes { buffer in
                guard let base = buffer.baseAddress else { return 0 }
                return readBytes(descriptor, base + offset, buffer.count - offset)
            }
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw SecretFileError(path: path, reason: .system(errno)) }
            if count == 0 { break }
            length += count
        }
        return Array(bytes[..<length])
    }

    /// Why the file cannot be used, without reading it; nil if it can.
    public static func problem(_ path: String) -> SecretFileError? {
        do throws(SecretFileError) {
            close(try Self.open(path))
            return nil
        } catch {
            return error
        }
    }

    /// What the rule looks at.
    struct Facts {
        /// `st_mode`: type and permissions.
        var mode: UInt32
        /// User id of its owner.
        var owner: UInt32
        /// Bytes.
        var size: Int
    }

    /// - Parameter user: the process's effective user id.
    static func judge(_ facts: Facts, user: UInt32) -> SecretFileError.Reason? {
        guard facts.mode & UInt32(S_IFMT) == UInt32(S_IFREG) else { return .notRegular }
        let permissions = facts.mode & 0o777
        if facts.owner == 0 {
            // For root itself, too: `check` is run by root on the files of a service.
            guard permissions & 0o037 == 0 else { return .open(mode: permissions) }
        } else if facts.owner == user {
            guard permissions & 0o077 == 0 else { return .open(mode: permissions) }
        } else {
            return .owner(facts.owner, wanted: user)
        }
        return facts.size > Self.maximumBytes ? .tooLarge : nil
    }

    private static func open(_ path: String) throws(SecretFileError) -> CInt {
        // Without O_NONBLOCK, opening a named pipe would wait for its other end.
        let descriptor = openForReading(path)
        guard descriptor >= 0 else { throw SecretFileError(path: path, reason: .system(errno)) }
        var status = stat()
        let reason: SecretFileError.Reason? =
            if fstat(descriptor, &status) != 0 {
                .system(errno)
            } else {
                Self.judge(
                    Facts(mode: UInt32(status.st_mode), owner: UInt32(status.st_uid), size: Int(status.st_size)),
                    user: UInt32(geteuid()))
            }
        guard let reason else { return descriptor }
        close(descriptor)
        throw SecretFileError(path: path, reason: reason)
    }

    /// Overwrites an array with zeroes, for all who have it: it is not copied first.
    public static func wipe(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { buffer in
            guard let base = buffer.baseAddress else { return }
            explicit_bzero(UnsafeMutableRawPointer(mutating: base), buffer.count)
        }
    }
}

// The system's functions, by names that the methods above do not hide.

private func openForReading(_ path: String) -> CInt {
    open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY)
}

private func readBytes(_ descriptor: CInt, _ buffer: UnsafeMutableRawPointer, _ count: Int) -> Int {
    read(descriptor, buffer, count)
}
