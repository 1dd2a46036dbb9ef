internal import SecretFiles

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Darwin
#endif

/// Paths in a configuration file, relative to it, and whether the files they name can be used.
struct FileChecks {
    /// The configuration file's folder, or empty for the working directory.
    private let folder: String
    private let checksExistence: Bool

    init(configurationFile: String, checksExistence: Bool) {
        if let slash = configurationFile.lastIndex(of: "/") {
            self.folder = String(configurationFile[...slash])
        } else {
            self.folder = ""
        }
        self.checksExistence = checksExistence
    }

    func resolve(_ path: String) -> String {
        path.hasPrefix("/") ? path : self.folder + path
    }

    /// A file that must be there and readable.
    func readable(_ node: ConfigurationNode, _ values: ValueReaders) -> String? {
        guard let text = values.text(node, "a path") else { return nil }
        let path = self.resolve(text)
        guard self.checksExistence else { return path }
        if let problem = Self.problemReading(path) {
            values.report.error(
                at: node.position, "cannot read \"\(path)\": \(problem.reason)",
                remedy: problem.remedy
                    ?? "Paths are relative to the configuration file; `latchstring certs` makes identities.")
            return nil
        }
        return path
    }

    /// A file with a secret, which must be there and meet the rule of ``SecretFile``.
    func secret(_ node: ConfigurationNode, _ values: ValueReaders) -> String? {
        guard let path = values.text(node, "a path").map(self.resolve) else { return nil }
        guard let problem = self.problemWithSecret(path) else { return path }
        values.report.error(at: node.position, problem.message, remedy: problem.remedy)
        return nil
    }

    /// Why a file with a secret cannot be used; nil if it can.
    func problemWithSecret(_ path: String) -> SecretFileError? {
        self.checksExistence ? SecretFile.problem(path) : nil
    }

    /// Why a program cannot be run; nil if it can.
    func problemRunning(_ path: String) -> String? {
        guard self.checksExistence else { return nil }
        switch Self.kind(path) {
        case .missing: return "there is no such file"
        case .folder, .other: return "it is not a file"
        case .file: return access(path, X_OK) == 0 ? nil : "it may not be executed"
        }
    }

    /// A file that will be made or appended to; its folder must be there.
    func writable(_ node: ConfigurationNode, _ values: ValueReaders) -> String? {
        guard let text = values.text(node, "a path") else { return nil }
        let path = self.resolve(text)
        guard self.checksExistence else { return path }
        if Self.kind(path) == .folder {
            values.report.error(at: node.position, "\"\(path)\" is a directory", remedy: "Name a file in it.")
            return nil
        }
        let parent = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
        guard Self.kind(parent.isEmpty ? "/" : parent) == .folder else {
            values.report.error(
                at: node.position, "cannot write \"\(path)\": there is no directory \"\(parent)\"",
                remedy: "Make it, or name another.")
            return nil
        }
        return path
    }

    /// A folder that is there, or will be made in one that is.
    func folder(_ node: ConfigurationNode, _ values: ValueReaders) -> String? {
        guard var path = values.text(node, "a folder").map(self.resolve) else { return nil }
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        guard self.checksExistence else { return path }
        switch Self.kind(path) {
        case .folder: return path
        case .file, .other:
            values.report.error(
                at: node.position, "\"\(path)\" is not a directory", remedy: "Name a directory of its own.")
            return nil
        case .missing:
            let parent = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
            guard Self.kind(parent.isEmpty ? "/" : parent) == .folder else {
                values.report.error(
                    at: node.position, "cannot make \"\(path)\": there is no directory \"\(parent)\"",
                    remedy: "Make it, or name another.")
                return nil
            }
            return path
        }
    }

    private enum Kind { case file, folder, other, missing }

    private static func kind(_ path: String) -> Kind {
        var status = stat()
        guard stat(path, &status) == 0 else { return .missing }
        switch status.st_mode & S_IFMT {
        case S_IFREG: return .file
        case S_IFDIR: return .folder
        default: return .other
        }
    }

    /// Why the file cannot be read; nil if it can.
    static func problemReading(_ path: String) -> (reason: String, remedy: String?)? {
        // Without O_NONBLOCK, opening a named pipe would wait for its other end.
        let descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
        guard descriptor >= 0 else {
            switch errno {
            case ENOENT: return ("there is no such file", nil)
            case EACCES, EPERM: return ("permission denied", "Let the user who runs latchstring read it.")
            case ENOTDIR: return ("a part of the path is not a directory", nil)
            case ELOOP: return ("too many symbolic links", nil)
            default: return (String(cString: strerror(errno)), nil)
            }
        }
        close(descriptor)
        return Self.kind(path) == .folder ? ("it is a directory", "Name the file.") : nil
    }
}
