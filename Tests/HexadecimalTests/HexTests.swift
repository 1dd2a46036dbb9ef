import Hexadecimal
import Testing

@Suite struct HexTests {
    @Test func everyByteThereAndBack() {
        for byte in UInt8.min...UInt8.max {
            let text = Hex.text([byte])
            #expect(text == (byte < 16 ? "0" : "") + String(byte, radix: 16))
            #expect(Hex.bytes(text.utf8) == [byte])
        }
        #expect(Hex.text([0x00, 0xC0, 0xFF, 0xEE]) == "00c0ffee")
        #expect(Hex.bytes("00c0ffee".utf8) == [0x00, 0xC0, 0xFF, 0xEE])
        #expect(Hex.text([]) == "")
        #expect(Hex.bytes("".utf8) == [])
    }

    @Test(arguments: ["0", "0g", "FF", " 0", "0x00", "é", "00 00", "/0", ":0", "`0", "0\u{0}"])
    func whatIsNone(text: String) {
        #expect(Hex.bytes(text.utf8) == nil)
    }
}
