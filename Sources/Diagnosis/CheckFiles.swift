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
}
