import NIOCore
import Testing

@testable import KeyProtocol

@Suite struct LinkOfferTests {
    private static func read(_ pieces: [String]) -> LinkOfferReader.Progress {
        var reader = LinkOfferReader()
        var progress = LinkOfferReader.Progress.needMore
        for piece in pieces {
            guard progress == .needMore else { break }
            progress = reader.receive(ByteBuffer(string: piece))
        }
        return progress
    }

    @Test("An offer is read in one piece, and byte by byte")
    func pieces() throws {
        let name = String(repeating: "n", count: 64)
        for name in ["home", "a.b-1", name] {
            let offer = try #require(LinkOffer(name: name))
            let text = String(buffer: offer.encoded())
            #expect(text == "latchstring-offer/1 \(name)\n")
            #expect(Self.read([text]) == .offer(offer))
            #expect(Self.read(text.map { String($0) }) == .offer(offer))
        }
    }

    @Test(
        "What is no offer is refused at the first byte that shows it",
        arguments: [
            ["G"], ["latchstring-offer/2"], ["\n"], ["latchstring-offer/1 \n"], ["latchstring-offer/1 Home\n"],
            ["latchstring-offer/1 home\n\u{16}"], ["latchstring-offer/1 ho\u{0}me\n"], ["\u{16}\u{3}\u{1}"],
            ["latchstring-offer/1 ", String(repeating: "n", count: 65)],
        ])
    func malformed(pieces: [String]) { #expect(Self.read(pieces) == .malformed) }

    @Test func noOtherNameIsOffered() {
        for name in ["", "Home", "a b", String(repeating: "n", count: 65), "a\n"] {
            #expect(LinkOffer(name: name) == nil)
        }
    }
}
