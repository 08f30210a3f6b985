// <stdfloat> for a standard library that has none: bfloat16 as the compiler's own type; limits of both 16-bit floats.
// Without it the library's CPU build takes _Float16 for bfloat16_t and reads its bits wrongly.
#ifndef PTOC_STDFLOAT
#define PTOC_STDFLOAT

#include <limits>

namespace std {

using bfloat16_t = __bf16;

template <>
class numeric_limits<__bf16> : public numeric_limits<float> {
public:
    static constexpr __bf16 min() noexcept { return __builtin_bit_cast(__bf16, static_cast<unsigned short>(0x0080)); }
    static constexpr __bf16 max() noexcept { return __builtin_bit_cast(__bf16, static_cast<unsigned short>(0x7f7f)); }
    static constexpr __bf16 lowest() noexcept { return __builtin_bit_cast(__bf16, static_cast<unsigned short>(0xff7f)); }
    static constexpr __bf16 infinity() noexcept { return __builtin_bit_cast(__bf16, static_cast<unsigned short>(0x7f80)); }
};

#ifndef __STDCPP_FLOAT16_T__  // without limits of its own f16 would have no infinity, and padding with the least number would be 0
template <>
class numeric_limits<_Float16> : public numeric_limits<float> {
public:
    static constexpr _Float16 min() noexcept { return __builtin_bit_cast(_Float16, static_cast<unsigned short>(0x0400)); }
    static constexpr _Float16 max() noexcept { return __builtin_bit_cast(_Float16, static_cast<unsigned short>(0x7bff)); }
    static constexpr _Float16 lowest() noexcept { return __builtin_bit_cast(_Float16, static_cast<unsigned short>(0xfbff)); }
    static constexpr _Float16 infinity() noexcept { return __builtin_bit_cast(_Float16, static_cast<unsigned short>(0x7c00)); }
};
#endif

}  // namespace std

// Rounding to bfloat16 (to nearest, ties to even), which older compiler support libraries lack.  A bfloat16 is returned in the low half of
// the register that a float is returned in; declared with a bfloat16 result the function would be compiled into a call of itself.
extern "C" __attribute__((weak)) float __truncsfbf2(float value)
{
    const unsigned bits = __builtin_bit_cast(unsigned, value);
    const unsigned rounded = value != value ? 0x7fc00000u : bits + 0x7fffu + ((bits >> 16) & 1u);
    return __builtin_bit_cast(float, rounded >> 16);
}
extern "C" __attribute__((weak)) float __truncdfbf2(double value) { return __truncsfbf2(static_cast<float>(value)); }

#endif
