import Foundation

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Where a process runs, as far as it decides whether one that it starts can outlive it.
struct ProcessSurroundings {
    /// Its number.
    var number: Int32
    /// The name of the program with number 1, where that started this process.
    var firstProgram: String?
    /// systemd started it, or what started it.
    var isInUnit: Bool
    /// There is a socket to tell the service manager which process is the service.
    var isHeard: Bool

    /// Programs that are a container's first process, and end with the one that they started.
    private static let containerPrograms: Set<String> = ["tini", "docker-init", "dumb-init", "catatonit"]

    static func now(_ notifier: ServiceNotifier) -> ProcessSurroundings {
        ProcessSurroundings(
            number: getpid(), firstProgram: getppid() == 1 ? Self.nameOfFirst : nil,
            // Not among the variables that are removed at the start.
            isInUnit: getenv("INVOCATION_ID") != nil, isHeard: notifier.address != nil)
    }

    private static var nameOfFirst: String? {
        (try? String(contentsOfFile: "/proc/1/comm", encoding: .utf8))?.trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// Why a successor would end with this process; nil: it would not.
    var bond: String? {
        if self.number == 1 || self.firstProgram.map(Self.containerPrograms.contains) == true {
            return "the successor would end with this process, and so would the container: restart that"
        }
        if self.isInUnit, !self.isHeard {
            return
                "the successor would end with this process: the unit needs Type=notify (INVOCATION_ID is set, and NOTIFY_SOCKET is not)"
        }
        return nil
    }
}
