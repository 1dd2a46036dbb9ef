/// Builds ClientHellos, right and wrong ones, byte by byte.
struct HelloBuilder {
    var version: UInt16 = 0x0303
    var random = [UInt8](repeating: 7, count: 32)
    var sessionID: [UInt8] = []
    var cipherSuites: [UInt8] = [0x13, 0x01]
    var compressionMethods: [UInt8] = [0]
    var extensions: [(type: UInt16, body: [UInt8])]? = []
    /// Left over after the extensions.
    var trailing: [UInt8] = []

    init(_ extensions: (UInt16, [UInt8])...) {
        self.extensions = extensions.map { (type: $0.0, body: $0.1) }
    }

    var message: [UInt8] {
        var body: [UInt8] = uint16(version) + random
        body += vector8(sessionID) + vector16(cipherSuites) + vector8(compressionMethods)
        if let extensions {
            var block: [UInt8] = []
            for item in extensions { block += uint16(item.type) + vector16(item.body) }
            body += vector16(block)
        }
        body += trailing
        return [1, UInt8(body.count >> 16)] + uint16(UInt16(truncatingIfNeeded: body.count)) + body
    }
}

func uint16(_ number: UInt16) -> [UInt8] { [UInt8(number >> 8), UInt8(number & 0xFF)] }
func vector8(_ bytes: [UInt8]) -> [UInt8] { [UInt8(bytes.count)] + bytes }
func vector16(_ bytes: [UInt8]) -> [UInt8] { uint16(UInt16(bytes.count)) + bytes }

func record(_ payload: [UInt8], type: UInt8 = 22, version: UInt16 = 0x0301) -> [UInt8] {
    [type] + uint16(version) + vector16(payload)
}

/// One record for each part between the cuts.
func records(_ message: [UInt8], cuts: [Int]) -> [UInt8] {
    var bytes: [UInt8] = []
    var start = 0
    for cut: Int in cuts + [message.count] {
        bytes += record(Array(message[start..<cut]))
        start = cut
    }
    return bytes
}

/// A server_name extension with one host_name.
func sni(_ name: String) -> (UInt16, [UInt8]) { sni(Array(name.utf8)) }
func sni(_ name: [UInt8]) -> (UInt16, [UInt8]) { (0, vector16([0] + vector16(name))) }
