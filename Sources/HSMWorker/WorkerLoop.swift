import Dispatch
public import HSMWire
import SecretFiles

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The process in which a PKCS #11 module runs: answers one request after another, until its key holder is gone.
///
/// The module's faults stay here. Where it crashes or hangs, the key holder ends this process and starts another.
public enum WorkerLoop {
    /// Where the key holder puts its end of the connection.
    public static let descriptor: CInt = 3

    /// Loads a module; tests put a layer of their own around it.
    public typealias Loader = (_ path: String) throws(TokenFailure) -> ModuleFunctions

    /// Serves until the other end closes. Then the process is to end.
    ///
    /// - Returns: Whether the connection was one, and the requests were such.
    @discardableResult
    public static func run(
        on descriptor: CInt = Self.descriptor, load: @escaping Loader = ModuleFunctions.load
    ) -> Bool {
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK else { return false }
        Self.endWithTheOther(descriptor)
        let token = Token(load: load)
        while let frame = Self.read(descriptor) {
            // It may have the PIN in it.
            defer { SecretFile.wipe(frame) }
            let answer: [UInt8]
            do throws(WorkerFrameError) {
                let (number, request) = try WorkerRequest.decode(frame)
                answer = Self.answer(request, token).encode(number: number)
            } catch {
                return false
            }
            guard Self.write(answer, to: descriptor) else { return true }
        }
        return true
    }

    private static func answer(_ request: WorkerRequest, _ token: Token) -> WorkerAnswer {
        do throws(TokenFailure) {
            switch request {
            case .open(let module, let selection): return .opened(try token.open(module, selection))
            case .login(let pin):
                defer { SecretFile.wipe(pin) }
                try token.login(pin)
                return .loggedIn
            case .find(let key): return .found(key: try token.find(key))
            case .sign(let key, let mechanism, let data): return .signed(try token.sign(key, mechanism, data))
            }
        } catch {
            return .failed(error)
        }
    }

    /// A module that hangs keeps the loop from seeing that the key holder is gone: a thread of its own looks for that.
    private static func endWithTheOther(_ descriptor: CInt) {
        let thread = DispatchQueue(label: "latchstring.hsm-worker.end")
        thread.async {
            var item = pollfd(fd: descriptor, events: 0, revents: 0)
            while true {
                let count = poll(&item, 1, -1)
                if count < 0, errno == EINTR { continue }
                // Nothing is asked for, so this is a hang-up.
                _exit(0)
            }
        }
    }

    /// A frame without its length; nil at the end of the connection, or where there is none.
    private static func read(_ descriptor: CInt) -> [UInt8]? {
        guard let prefix = Self.read(WorkerFrame.prefixLength, from: descriptor),
            let length = WorkerFrame.length(prefix)
        else { return nil }
        return Self.read(length, from: descriptor)
    }

    private static func read(_ count: Int, from descriptor: CInt) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        var length = 0
        while length < count {
            let got = bytes.withUnsafeMutableBytes { buffer in
                recv(descriptor, buffer.baseAddress.map { $0 + length }, count - length, 0)
            }
            if got < 0, errno == EINTR { continue }
            guard got > 0 else { return nil }
            length += got
        }
        return bytes
    }

    private static func write(_ bytes: [UInt8], to descriptor: CInt) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL)) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }
}
