import Foundation

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Reads and looks at the files that a configuration names.
enum CheckFiles {
    /// Certificates and keys are a few KiB.
    private static let maximumBytes = 1 << 20

    struct Unreadable: Error {
        var reason: String
    }

    static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    static func text(_ path: String) throws(Unreadable) -> String {
        let attributes: [FileAttributeKey: Any]
        do {
            // Links are followed, as reading follows them.
            attributes = try FileManager.default.attributesOfItem(atPath: Self.resolved(path))
        } catch {
            throw Unreadable(
                reason: access(path, F_OK) == 0 ? "its attributes cannot be read" : "there is no such file")
        }
        guard attributes[.type] as? FileAttributeType == .typeRegular else {
            throw Unreadable(reason: "not a regular file")
        }
        guard let size = attributes[.size] as? NSNumber, size.intValue <= Self.maximumBytes else {
            throw Unreadable(reason: "larger than 1 MiB")
        }
        do {
            return try String(contentsOfFile: path, encoding: .utf8)
        } catch {
            throw Unreadable(reason: "not readable as text by this user")
        }
    }

    private static func resolved(_ path: String) -> String {
        URL(fileURLWithPath: path).resolvingSymlinksInPath().path
    }

    /// Why a file cannot be appended to, or made; nil if it can.
    static func problemAppending(_ path: String) -> String? {
        if access(path, F_OK) == 0 {
            return access(path, W_OK) == 0 ? nil : String(cString: strerror(errno))
        }
        let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
        return access(folder, W_OK | X_OK) == 0 ? nil : String(cString: strerror(errno))
    }

    /// Why a process of a user cannot have a folder for itself, or make it; nil if it can.
    static func problemOwning(_ path: String, user: uid_t = geteuid()) -> String? {
        var status = stat()
        guard stat(path, &status) == 0 else {
            guard errno == ENOENT else { return String(cString: strerror(errno)) }
            return Self.problemAppending(path)
        }
        guard status.st_mode & S_IFMT == S_IFDIR else { return String(cString: strerror(ENOTDIR)) }
        guard user == 0 || status.st_uid == user else { return "it belongs to user \(status.st_uid)" }
        return access(path, W_OK | X_OK) == 0 ? nil : String(cString: strerror(errno))
    }
}

extension CheckReport {
    /// A file that lines are appended to.
    func file(_ path: String, called name: String) {
        if let problem = CheckFiles.problemAppending(path) {
            self.fail(nil, "cannot write the \(name) \(path): \(problem)", remedy: "Let this user write it.")
        } else {
            self.ok(nil, "\(name) \(path) can be written")
        }
    }

    /// A folder that one process has for itself.
    func folder(_ path: String, called name: String) {
        if let problem = CheckFiles.problemOwning(path) {
            self.fail(
                nil, "cannot use the \(name) \(path): \(problem)",
                remedy:
                    "Is this user the one that the service runs as? Give it the folder with all that is in it, or name another."
            )
        } else {
            self.ok(nil, "\(name) \(path) can be used")
        }
    }
}
