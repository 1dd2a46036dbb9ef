import Synchronization
import Telemetry

/// A log daemon: each line is a message of its own.
///
/// A local daemon has taken a message when it was sent. Over UDP none is known to have arrived; what the other end's system refuses is
/// reported, and the chain shows what is missing.
final class AuditSyslog: AuditOutput {
    /// Seconds.
    private static let patience = 2

    private let socket: Mutex<SyslogSocket>
    private let onLoss: @Sendable (String) -> Void

    init(_ target: SyslogTarget, onLoss: @escaping @Sendable (String) -> Void) throws(AuditLogError) {
        do throws(SyslogError) {
            self.socket = Mutex(try SyslogSocket(target, messageID: "audit", patience: Self.patience))
        } catch {
            throw AuditLogError(
                place: "syslog", reason: error.description, remedy: "start the log daemon, or name another place")
        }
        self.onLoss = onLoss
    }

    func write(_ bytes: ArraySlice<UInt8>) -> Result<Int, AuditOutputError> {
        let line = bytes.prefix { $0 != 0x0A }
        // What ends a line, or is between two.
        guard !line.isEmpty else { return .success(1) }
        let outcome = self.socket.withLock { socket in
            var message: [UInt8] = []
            message.reserveCapacity(line.count + 80)
            socket.writeHeader(milliseconds: Clock.wallMilliseconds(), to: &message)
            message += line
            return socket.send(message)
        }
        switch outcome {
        case .sent: return .success(line.count)
        case .sentAfterLoss(let problem):
            self.onLoss(problem)
            return .success(line.count)
        case .failed(let problem, _): return .failure(AuditOutputError(problem))
        }
    }

    func reserve(low: Int, high: Int) {}

    func close() {}
}
