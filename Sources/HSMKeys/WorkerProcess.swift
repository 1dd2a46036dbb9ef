import CSystemShims
import HSMWire
import KeyHolder
import SecretFiles

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// A process with the PKCS #11 module, and the connection to it. One caller at a time.
///
/// Whatever it does, each call here ends by its deadline, and reads no more than a frame. After an error it is of no use any more:
/// ``end()`` is to be called.
struct WorkerProcess: Sendable {
    private let process: pid_t
    private let socket: CInt
    private let reaper: ProcessReaper
    private var number: UInt32 = 0
    /// What ``key(_:deadline:)`` found.
    private var keys: [KeySelection: UInt32] = [:]

    /// - Parameters:
    ///   - program: Its path and arguments.
    ///   - reaper: Waits for its end.
    init(program: [String], reaper: ProcessReaper) throws(HSMError) {
        self.reaper = reaper
        var ends: [CInt] = [-1, -1]
        guard socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0, &ends) == 0 else {
            throw .start(Self.text(errno))
        }
        defer { close(ends[1]) }
        do throws(HSMError) {
            self.process = try Self.spawn(program, socket: ends[1])
        } catch {
            close(ends[0])
            throw error
        }
        self.socket = ends[0]
    }

    var identifier: Int32 { self.process }

    /// Whether it has not ended by itself meanwhile. Nothing is to be read of a worker that was asked nothing.
    var isQuiet: Bool {
        var item = pollfd(fd: self.socket, events: Int16(POLLIN), revents: 0)
        return poll(&item, 1, 0) == 0
    }

    /// - Parameter deadline: Monotonic nanoseconds.
    mutating func open(
        _ module: String, _ token: TokenSelection, deadline: UInt64
    ) throws(HSMError) -> TokenFacts {
        guard case .opened(let facts) = try self.ask(.open(module: module, token: token), deadline) else {
            throw .ended("gave an answer to something else")
        }
        return facts
    }

    /// - Parameter pin: The caller wipes it.
    mutating func login(_ pin: [UInt8], deadline: UInt64) throws(HSMError) {
        guard case .loggedIn = try self.ask(.login(pin: pin), deadline) else {
            throw .ended("gave an answer to something else")
        }
    }

    mutating func sign(
        _ selection: KeySelection, _ mechanism: TokenMechanism, _ data: [UInt8], deadline: UInt64
    ) throws(HSMError) -> [UInt8] {
        let key = try self.key(selection, deadline: deadline)
        guard case .signed(let signature) = try self.ask(.sign(key: key, mechanism: mechanism, data: data), deadline)
        else { throw .ended("gave an answer to something else") }
        return signature
    }

    private mutating func key(_ selection: KeySelection, deadline: UInt64) throws(HSMError) -> UInt32 {
        if let key = self.keys[selection] { return key }
        guard case .found(let key) = try self.ask(.find(selection), deadline) else {
            throw .ended("gave an answer to something else")
        }
        self.keys[selection] = key
        return key
    }

    // MARK: Frames

    private mutating func ask(_ request: WorkerRequest, _ deadline: UInt64) throws(HSMError) -> WorkerAnswer {
        self.number &+= 1
        guard let frame = request.encode(number: self.number) else { throw .failure(TokenFailure(.request)) }
        defer { SecretFile.wipe(frame) }
        try self.write(frame, deadline)
        let prefix = try self.read(WorkerFrame.prefixLength, deadline)
        guard let length = WorkerFrame.length(prefix) else { throw .ended("sent what is no answer") }
        let body = try self.read(length, deadline)
        let number: UInt32
        let answer: WorkerAnswer
        do throws(WorkerFrameError) {
            (number, answer) = try WorkerAnswer.decode(body)
        } catch {
            throw .ended("sent what is no answer")
        }
        guard number == self.number else { throw .ended("gave an answer to something else") }
        if case .failed(let failure) = answer { throw .failure(failure) }
        return answer
    }

    private func write(_ bytes: [UInt8], _ deadline: UInt64) throws(HSMError) {
        var sent = 0
        while sent < bytes.count {
            let offset = sent
            let count = bytes.withUnsafeBytes { buffer in
                send(
                    self.socket, buffer.baseAddress.map { $0 + offset }, buffer.count - offset,
                    CInt(MSG_NOSIGNAL) | CInt(MSG_DONTWAIT))
            }
            if count > 0 {
                sent += count
            } else if errno == EAGAIN {
                try self.wait(for: POLLOUT, deadline)
            } else if errno != EINTR {
                throw .ended(self.howItEnded)
            }
        }
    }

    private func read(_ count: Int, _ deadline: UInt64) throws(HSMError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var length = 0
        while length < count {
            let offset = length
            let got = bytes.withUnsafeMutableBytes { buffer in
                recv(
                    self.socket, buffer.baseAddress.map { $0 + offset }, buffer.count - offset,
                    CInt(MSG_DONTWAIT))
            }
            if got > 0 {
                length += got
            } else if got == 0 {
                throw .ended(self.howItEnded)
            } else if errno == EAGAIN {
                try self.wait(for: POLLIN, deadline)
            } else if errno != EINTR {
                throw .ended(self.howItEnded)
            }
        }
        return bytes
    }

    private func wait(for events: CInt, _ deadline: UInt64) throws(HSMError) {
        let now = Clock.monotonic()
        guard now < deadline else { throw .ended("did not answer in time, and was ended") }
        var item = pollfd(fd: self.socket, events: Int16(events), revents: 0)
        _ = poll(&item, 1, CInt(clamping: (deadline - now + 999_999) / 1_000_000))
    }

    // MARK: The process

    /// What `waitpid` would say, without taking it.
    private var howItEnded: String {
        // Its end of the connection closes a moment before it has ended.
        for _ in 0..<20 {
            var information = siginfo_t()
            guard waitid(P_PID, id_t(self.process), &information, WEXITED | WNOHANG | WNOWAIT) == 0 else { break }
            if information.si_signo == SIGCHLD {
                let status = information.status
                return information.si_code == CInt(CLD_EXITED)
                    ? "ended with exit status \(status)" : "was ended by signal \(status)"
            }
            usleep(5000)
        }
        return "closed the connection"
    }

    /// Ends it, with all that it started.
    func end() {
        close(self.socket)
        kill(-self.process, SIGKILL)
        // One that has left its group; it is not reaped yet, so the number is still its own.
        kill(self.process, SIGKILL)
        self.reaper.reap(self.process)
    }

    private static func text(_ number: Int32) -> String { String(cString: strerror(number)) }

    /// It gets this process's environment, since modules are told by it where their configuration is; no open file but its end of the
    /// connection; and a group of its own.
    private static func spawn(_ program: [String], socket: CInt) throws(HSMError) -> pid_t {
        guard let path = program.first else { throw .start("no program") }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        // What a module prints is neither an audit line nor one of the log.
        posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, socket, 3)
        latchstring_spawn_closes_from(&actions, 4)
        var attributes = posix_spawnattr_t()
        latchstring_spawn_attributes(&attributes, 1, 0)
        defer { posix_spawnattr_destroy(&attributes) }
        let arguments: [UnsafeMutablePointer<CChar>?] = program.map { strdup($0) } + [nil]
        defer { arguments.forEach { free($0) } }
        var process: pid_t = 0
        let result = posix_spawn(&process, path, &actions, &attributes, arguments, environ)
        guard result == 0 else { throw .start(Self.text(result)) }
        return process
    }
}

extension siginfo_t {
    /// Of SIGCHLD: an exit status or a signal. A macro in C.
    fileprivate var status: CInt {
        #if canImport(Glibc)
            self._sifields._sigchld.si_status
        #elseif canImport(Musl)
            self.__si_fields.__si_common.__second.__sigchld.si_status
        #endif
    }
}
