import CSystemShims
import FoundationEssentials
import NIOCore
import NIOPosix
import Synchronization
import Telemetry

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// One of the demo's processes: this same program run again with another subcommand.
///
/// Its output comes through a pipe, line by line. Its standard input is the reading end of another pipe, whose writing end
/// closes when the demo ends in whatever way; `demo-child` then ends too, so that no process is left behind.
final class ChildProcess: Sendable {
    let name: String
    let pid: Int32

    private struct State {
        /// The last lines of its output.
        var recent: [String] = []
        var addresses: [String: String] = [:]
        var outputEnded = false
        var isReaped = false
    }

    private let state = Mutex(State())
    private let lifeline: Int32
    private let echo: Bool

    private init(name: String, pid: Int32, lifeline: Int32, echo: Bool) {
        self.name = name
        self.pid = pid
        self.lifeline = lifeline
        self.echo = echo
    }

    /// Starts `latchstring ARGUMENTS` in `directory`.
    /// - Parameters:
    ///   - environment: what stands in its environment beside what stands in ours, as `NAME=VALUE`.
    ///   - echo: show its output on our standard error.
    ///   - executable: the program; by default the one that runs now, even if its file was replaced meanwhile.
    static func start(
        name: String, arguments: [String], directory: String, environment: [String] = [], echo: Bool,
        on group: any EventLoopGroup,
        executable: String = "/proc/self/exe"
    ) async throws -> ChildProcess {
        let input = try Pipe()
        let output = try Pipe()
        let pid = try spawn(
            executable, arguments: ["latchstring", "demo-child", directory] + arguments,
            environment: environment, input: input.reading, output: output.writing)
        close(input.reading)
        close(output.writing)
        let child = ChildProcess(name: name, pid: pid, lifeline: input.writing, echo: echo)
        do {
            _ = try await NIOPipeBootstrap(group: group)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandler(LineReader(child: child))
                    }
                }
                .takingOwnershipOfDescriptor(input: output.reading).get()
        } catch {
            close(output.reading)
            await child.end(within: .zero)
            throw error
        }
        return child
    }

    /// The address on which it says it listens, as `127.0.0.1:4433`.
    /// - Parameter listener: which of several: what its log line says as `listener`, or nothing.
    func address(of listener: String, deadline: ContinuousClock.Instant) async throws -> String {
        while true {
            let (address, ended) = state.withLock { ($0.addresses[listener], $0.outputEnded) }
            if let address { return address }
            guard !ended else { throw DemoFailure.childEnded(name, recentOutput) }
            guard ContinuousClock.now < deadline else { throw DemoFailure.childSilent(name, recentOutput) }
            try await Task.sleep(for: .milliseconds(5))
        }
    }

    var hasEnded: Bool { state.withLock { $0.outputEnded } }

    var recentOutput: [String] { state.withLock { $0.recent } }

    /// Asks it to end, waits, and ends it the hard way if it takes longer than `patience`.
    func end(within patience: Duration) async {
        signal(SIGTERM)
        let deadline = ContinuousClock.now + patience
        while ContinuousClock.now < deadline, !reap() {
            // Sleeping is cut short where our task was cancelled; that must not turn this into a busy loop.
            await Task.detached { try? await Task.sleep(for: .milliseconds(5)) }.value
        }
        if !reap() {
            signal(SIGKILL)
            while !reap() {
                await Task.detached { try? await Task.sleep(for: .milliseconds(5)) }.value
            }
        }
        close(lifeline)
    }

    private func signal(_ number: Int32) {
        state.withLock { state in
            // Until it is reaped, the process id can't belong to another process.
            if !state.isReaped { _ = kill(pid, number) }
        }
    }

    private func reap() -> Bool {
        state.withLock { state in
            guard !state.isReaped else { return true }
            var status: Int32 = 0
            let result = waitpid(pid, &status, WNOHANG)
            state.isReaped = result == pid || (result == -1 && errno == ECHILD)
            return state.isReaped
        }
    }

    fileprivate func received(line: String) {
        let listening = ListeningLine(line: line)
        state.withLock { state in
            if state.recent.count == 20 { state.recent.removeFirst() }
            state.recent.append(line)
            if let listening, let address = listening.address {
                state.addresses[listening.listener ?? ""] = address
            }
        }
        if echo { StandardError.write("[\(name)] \(line)\n") }
    }

    fileprivate func outputEnded() {
        state.withLock { $0.outputEnded = true }
    }

    private static func spawn(
        _ executable: String, arguments: [String], environment: [String], input: Int32, output: Int32
    ) throws -> Int32 {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, input, 0)
        posix_spawn_file_actions_adddup2(&actions, output, 1)
        posix_spawn_file_actions_adddup2(&actions, output, 2)

        var attributes = posix_spawnattr_t()
        // Its own process group, so that Ctrl-C reaches the demo alone, which then ends the others in order.
        latchstring_spawn_attributes(&attributes, 1, 0)
        defer { posix_spawnattr_destroy(&attributes) }
        var list: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        let ours = ProcessInfo.processInfo.environment.map { "\($0)=\($1)" }
        var variables: [UnsafeMutablePointer<CChar>?] = (environment + ours).map { strdup($0) } + [nil]
        defer { (list + variables).forEach { free($0) } }
        var pid: pid_t = 0
        let failure = posix_spawn(&pid, executable, &actions, &attributes, &list, &variables)
        guard failure == 0 else { throw DemoFailure.system("start a process", failure) }
        return pid
    }

    /// Both ends are closed in processes started later, so that a child holds only its own.
    private struct Pipe {
        var reading: Int32
        var writing: Int32

        init() throws {
            var ends: [Int32] = [0, 0]
            guard pipe(&ends) == 0 else { throw DemoFailure.system("make a pipe", errno) }
            for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
            (reading, writing) = (ends[0], ends[1])
        }
    }
}

/// The log line by which a process says that it is ready.
private struct ListeningLine: Decodable {
    var message: String
    var listener: String?
    var address: String?

    init?(line: String) {
        guard line.contains("listening"),
            let decoded = try? JSONDecoder().decode(ListeningLine.self, from: Data(line.utf8))
        else { return nil }
        self = decoded
        switch decoded.message {
        case "listening": break
        case "listening for native connections": self.listener = "native"
        default: return nil
        }
    }
}

/// Cuts a process's output into lines.
private final class LineReader: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private static let longestLine = 65536
    private let child: ChildProcess
    private var partial: ByteBuffer = ByteBuffer()

    init(child: ChildProcess) {
        self.child = child
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var received = unwrapInboundIn(data)
        partial.writeBuffer(&received)
        while let end = partial.readableBytesView.firstIndex(of: UInt8(ascii: "\n")) {
            let length = end - partial.readerIndex
            let line = partial.readString(length: length) ?? ""
            partial.moveReaderIndex(forwardBy: 1)
            child.received(line: line)
        }
        partial.discardReadBytes()
        // A line without end is cut, not kept.
        if partial.readableBytes > Self.longestLine { flushPartial() }
    }

    func channelInactive(context: ChannelHandlerContext) {
        flushPartial()
        child.outputEnded()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    private func flushPartial() {
        guard let rest = partial.readString(length: partial.readableBytes), !rest.isEmpty else { return }
        child.received(line: rest)
    }
}
