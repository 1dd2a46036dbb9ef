#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Why a file with a secret is not used, and what to do.
public struct SecretFileError: Error, Equatable, Sendable, CustomStringConvertible {
    public enum Reason: Equatable, Sendable {
        /// The value of `errno`.
        case system(Int32)
        case notRegular
        /// It belongs to another user than the process's and root. Both are user ids.
        case owner(UInt32, wanted: UInt32)
        /// Other users can read or write it: the permissions.
        case open(mode: UInt32)
        case tooLarge
        case notText
    }

    public var path: String
    public var reason: Reason

    public init(path: String, reason: Reason) {
        self.path = path
        self.reason = reason
    }

    /// There is no such file.
    public var isMissing: Bool { self.reason == .system(ENOENT) }

    public var description: String { "\(self.message). \(self.remedy)" }

    /// What is wrong, with the path.
    public var message: String {
        switch self.reason {
        case .system(let number): "cannot read \"\(self.path)\": \(Self.text(number))"
        case .notRegular: "\"\(self.path)\" is not a regular file"
        case .owner(let owner, _):
            "the secret in \"\(self.path)\" belongs to user \(owner), and not to the user who runs latchstring or to root"
        case .open(let mode):
            "other users can \(Self.verb(mode)) the secret in \"\(self.path)\" (mode \(Self.octal(mode)))"
        case .tooLarge: "\"\(self.path)\" is larger than 1 MiB"
        case .notText: "\"\(self.path)\" is not UTF-8 text"
        }
    }

    /// What to do, in full sentences.
    public var remedy: String {
        switch self.reason {
        case .system(ENOENT), .system(ENOTDIR):
            "Paths are relative to the configuration file; `latchstring certs` makes identities."
        case .system(EACCES), .system(EPERM):
            "Let the user who runs latchstring own it, with mode 600, or root, and a group of that user read it: "
                + "chown root:GROUP \(self.path) && chmod 640 \(self.path)"
        case .system: "Check the path."
        case .notRegular: "Name a file."
        case .owner(let owner, let wanted):
            "Run latchstring as user \(owner), or give the file to the user who does: chown \(wanted) \(self.path)"
        case .open: "Run chmod 600 \(self.path)"
        case .tooLarge, .notText: "Is it the right file?"
        }
    }

    private static func text(_ number: Int32) -> String {
        switch number {
        case ENOENT: "there is no such file"
        case EACCES, EPERM: "permission denied"
        case ENOTDIR: "a part of the path is not a directory"
        default: String(cString: strerror(number))
        }
    }

    private static func verb(_ mode: UInt32) -> String {
        switch (mode & 0o044 != 0, mode & 0o022 != 0) {
        case (true, true): "read and write"
        case (false, true): "write"
        case (true, false): "read"
        case (false, false): "execute"
        }
    }

    private static func octal(_ mode: UInt32) -> String {
        let digits = String(mode & 0o777, radix: 8)
        return String(repeating: "0", count: 4 - digits.count) + digits
    }
}
