import CSystemShims
import Channels
import Foundation

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// A process that is to take this one's place: a program with this process's arguments, its standard streams, and all its listeners.
struct SuccessorProcess: Sendable {
    let number: pid_t
    /// The end of the link that is this process's.
    let link: CInt

    struct Failure: Error, CustomStringConvertible {
        var description: String
    }

    /// The program's path as this process was started by it: the next version is there, behind symbolic links that may be changed. Made
    /// once, at the start.
    static let ownProgram: String = {
        let name = CommandLine.arguments.first ?? ""
        if name.hasPrefix("/") { return name }
        if name.contains("/") { return FileManager.default.currentDirectoryPath + "/" + name }
        return (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? name
    }()

    /// - Parameters:
    ///   - program: an absolute path.
    ///   - listeners: copies go to the process; they stay the caller's to close.
    ///   - notifier: which the process tells things to as well.
    init(program: String, listeners: [PassedListener], notifier: ServiceNotifier) throws(Failure) {
        guard listeners.count <= InheritedListeners.maximum else {
            throw Failure(description: "there are more than \(InheritedListeners.maximum) listening sockets")
        }
        var pair: [CInt] = [-1, -1]
        guard socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0, &pair) == 0 else {
            throw Self.system("a link", errno)
        }
        // Numbers that are free in the process while they are put in their places.
        let first = InheritedListeners.firstDescriptor
        var copies: [CInt] = []
        defer {
            for copy in copies { close(copy) }
            close(pair[1])
        }
        for descriptor in listeners.map(\.descriptor) + [pair[1]] {
            let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, first + CInt(listeners.count) + 1)
            guard copy >= 0 else {
                close(pair[0])
                throw Self.system("its sockets", errno)
            }
            copies.append(copy)
        }
        var environment = ProcessInfo.processInfo.environment.merging(notifier.environment) { $1 }
        environment[ServiceEnvironment.succession] = (["\(getpid())"] + listeners.map(\.name)).joined(separator: " ")
        do throws(Failure) {
            self.number = try Self.spawn(program, environment.map { "\($0.key)=\($0.value)" }, copies)
        } catch {
            close(pair[0])
            throw error
        }
        self.link = pair[0]
    }

    private static func system(_ what: String, _ number: Int32) -> Failure {
        Failure(description: "\(what): \(String(cString: strerror(number)))")
    }

    private static func spawn(
        _ program: String, _ environment: [String], _ descriptors: [CInt]
    ) throws(Failure) -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for (index, descriptor) in descriptors.enumerated() {
            posix_spawn_file_actions_adddup2(&actions, descriptor, InheritedListeners.firstDescriptor + CInt(index))
        }
        latchstring_spawn_closes_from(&actions, InheritedListeners.firstDescriptor + CInt(descriptors.count))
        var attributes = posix_spawnattr_t()
        latchstring_spawn_attributes(&attributes, 0, 1)
        defer { posix_spawnattr_destroy(&attributes) }
        let arguments: [UnsafeMutablePointer<CChar>?] =
            ([program] + CommandLine.arguments.dropFirst()).map { strdup($0) } + [nil]
        let variables: [UnsafeMutablePointer<CChar>?] = environment.map { strdup($0) } + [nil]
        defer { (arguments + variables).forEach { free($0) } }
        var process: pid_t = 0
        let result = posix_spawn(&process, program, &actions, &attributes, arguments, variables)
        guard result == 0 else { throw Self.system(program, result) }
        return process
    }

    /// How it ended; nil: it runs. Asked again after an answer, it knows nothing.
    func end() -> String? {
        var status: Int32 = 0
        guard waitpid(self.number, &status, WNOHANG) == self.number else { return nil }
        return status & 0x7F == 0
            ? "it ended with status \(status >> 8 & 0xFF)" : "it was ended by signal \(status & 0x7F)"
    }

    /// Ends it, if it has not ended.
    func stop() async {
        kill(self.number, SIGTERM)
        for _ in 0..<50 {
            if self.end() != nil { return }
            try? await Task.sleep(for: .milliseconds(20))
        }
        kill(self.number, SIGKILL)
        _ = waitpid(self.number, nil, 0)
    }
}
