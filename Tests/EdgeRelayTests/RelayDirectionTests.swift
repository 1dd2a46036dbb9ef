import CRelaySockets
import NIOCore
import Testing

@testable import EdgeRelay

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// One direction between two sockets that the test holds the far ends of.
@Suite("Bytes in one direction") struct RelayDirectionTests {
    private struct Pair {
        let near: RelayEnd
        let far: Descriptor

        init() throws {
            var numbers: [Int32] = [-1, -1]
            #expect(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0, &numbers) == 0)
            self.near = RelayEnd(try Descriptor(owning: numbers[0]))
            self.far = try Descriptor(owning: numbers[1])
        }

        /// As the poller would say of a socket that can do both.
        func becameReady() { self.near.became(LATCHSTRING_READABLE | LATCHSTRING_WRITABLE) }
    }

    private final class Stage {
        let reader: Pair
        let writer: Pair
        let tools: RelayTools
        var direction = RelayDirection()

        init(pipes: Int) throws {
            self.reader = try Pair()
            self.writer = try Pair()
            self.tools = RelayTools(
                poller: try Descriptor(owning: latchstring_poller_open()), pipes: pipes, now: .now())
        }

        func run() -> RelayDirection.Outcome {
            self.reader.becameReady()
            self.writer.becameReady()
            return self.direction.run(from: self.reader.near, to: self.writer.near, self.tools)
        }

        /// As many of these bytes as the socket takes.
        func send(_ bytes: ArraySlice<UInt8>) -> Int {
            let result = bytes.withUnsafeBytes { latchstring_send(self.reader.far.number, $0.baseAddress, $0.count) }
            return max(0, result)
        }

        /// All that is there.
        func receive() -> [UInt8] {
            var all: [UInt8] = []
            var buffer = [UInt8](repeating: 0, count: 65_536)
            while true {
                let count = buffer.withUnsafeMutableBytes {
                    latchstring_receive(self.writer.far.number, $0.baseAddress, $0.count)
                }
                guard count > 0 else { return all }
                all += buffer[..<count]
            }
        }
    }

    private static let bytes: [UInt8] = {
        var state: UInt64 = 9
        return (0..<4_000_000).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return UInt8(truncatingIfNeeded: state >> 33)
        }
    }()

    @Test("Bulk goes through a pipe where there is one, and arrives as it was sent", arguments: [0, 1])
    func bulk(pipes: Int) throws {
        let stage = try Stage(pipes: pipes)
        var (sent, received, usedPipes) = (0, [UInt8](), false)
        while received.count < Self.bytes.count {
            sent += stage.send(Self.bytes[sent...])
            let outcome = stage.run()
            #expect(outcome == .waits || outcome == .more)
            usedPipes = usedPipes || stage.tools.pipes.made > 0
            received += stage.receive()
        }
        #expect(received == Self.bytes)
        #expect(stage.direction.bytes == Self.bytes.count)
        #expect(usedPipes == (pipes > 0))
        #expect(stage.direction.isDrained)
    }

    @Test("A pipe with bytes in it is not used again", arguments: [true, false])
    func discarded(isFull: Bool) throws {
        let stage = try Stage(pipes: 1)
        var sent = 0
        // Until neither socket takes any more.
        while true {
            let more = stage.send(Self.bytes[sent...])
            sent += more
            let outcome = stage.run()
            if more == 0, outcome == .waits { break }
        }
        #expect(!stage.direction.isDrained && stage.tools.pipes.made == 1)
        let other = stage.tools.pipes.take()
        #expect(other == nil, "there is only one, and it is in use")
        if !isFull {
            while !stage.direction.isDrained {
                _ = stage.receive()
                _ = stage.run()
            }
        }
        stage.direction.discard(stage.tools)
        #expect(stage.tools.pipes.made == (isFull ? 0 : 1))
        let taken = stage.tools.pipes.take()
        let pipe = try #require(taken)
        var buffer = [UInt8](repeating: 0, count: 16)
        let left = read(pipe.output.number, &buffer, 16)
        #expect(left == -1 && errno == EAGAIN, "it is empty")
    }

    @Test("What its owner sends goes first, and is not counted; an end comes when all is passed on")
    func first() throws {
        let stage = try Stage(pipes: 0)
        stage.direction = RelayDirection(first: ByteBuffer(string: "header "))
        stage.direction.hold(ByteBuffer(string: "hello "))
        #expect(stage.send(Array("more".utf8)[...]) == 4)
        #expect(stage.run() == .waits)
        #expect(String(decoding: stage.receive(), as: UTF8.self) == "header hello more")
        #expect(stage.direction.bytes == 4)
        latchstring_end_output(stage.reader.far.number)
        stage.reader.near.became(LATCHSTRING_ENDING)
        #expect(stage.run() == .ended)
    }

    @Test("Nothing is read while the other side takes nothing")
    func backPressure() throws {
        let stage = try Stage(pipes: 0)
        var sent = 0
        while true {
            let more = stage.send(Self.bytes[sent...])
            sent += more
            if more == 0, stage.run() == .waits { break }
        }
        let before = stage.direction.bytes
        #expect(before - stage.receive().count <= RelayTools.bufferSize)
        stage.writer.near.isWritable = false
        stage.reader.becameReady()
        let outcome = stage.direction.run(from: stage.reader.near, to: stage.writer.near, stage.tools)
        #expect(outcome == .waits)
        #expect(stage.direction.bytes == before)
    }

    @Test("A socket that takes nothing any more is a break of the writer's")
    func breaks() throws {
        let stage = try Stage(pipes: 0)
        #expect(stage.send([1]) == 1)
        let shut = shutdown(stage.writer.far.number, Int32(SHUT_RD))
        #expect(shut == 0)
        #expect(stage.run() == .writerBroke(EPIPE))
    }
}
