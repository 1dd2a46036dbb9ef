/// Numbers in fields.
enum DecimalNumber {
    /// Digits only, no sign, within 63 bits.
    static func parse(_ bytes: some Collection<UInt8>) -> Int64? {
        if bytes.isEmpty { return nil }
        var number: Int64 = 0
        for byte in bytes {
            let digit = byte &- UInt8(ascii: "0")
            guard digit < 10 else { return nil }
            let (product, overflow) = number.multipliedReportingOverflow(by: 10)
            let (sum, carry) = product.addingReportingOverflow(Int64(digit))
            if overflow || carry { return nil }
            number = sum
        }
        return number
    }
}
