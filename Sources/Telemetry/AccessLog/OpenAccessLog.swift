import Synchronization

/// An access log that is open, and what its lines look like. Opening may fail, and blocks; that is why it is a step of its own.
public final class OpenAccessLog: Sendable {
    let layout: AccessLayout
    private let sink: Mutex<AccessSink>

    /// Opens it. Blocks: for the start, and the thread of a reload.
    public init(_ target: LogTarget, layout: AccessLayout) throws(AccessLogError) {
        let sink = try AccessSink(opening: target)
        self.layout = layout
        self.sink = Mutex(sink)
    }

    func write(_ record: AccessRecord) { self.sink.withLock { $0.write(record, by: self.layout) } }

    /// Writes what is there. Blocks as long as the reader takes nothing.
    func flush() { self.sink.withLock { $0.flush() } }

    /// Lines that were lost since the last call, and why.
    func takeLost() -> (lines: Int, problem: String?) { self.sink.withLock { $0.takeLost() } }

    func reopen() -> AccessLogError? {
        self.sink.withLock { sink in
            do throws(AccessLogError) {
                try sink.reopen()
                return nil
            } catch {
                return error
            }
        }
    }
}
