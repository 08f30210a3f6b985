// Calls on parts of tiles that mean the same on the NPU and in ptoc, on a CPU: the library's CPU build takes tiles as a whole there.
// Each is an overload that the library's own dispatch takes where its constraint holds, since it is the more constrained one.
#ifndef PTOC_CPU_TILES_HPP
#define PTOC_CPU_TILES_HPP

#include <cstdint>
#include <type_traits>
#include <vector>

namespace pto {

// Row sums between tiles of different storage: the NPU's headers compare valid rows, the CPU build's body the rows of the tiles.
// Source: pto-isa 3186c381, include/pto/npu/a2a3/TRowReduceOps.hpp (TRowReduceCheck), include/pto/cpu/TRowSum.hpp (CheckRSValid).
template <typename Out, typename In, typename Tmp>
    requires(Out::Rows != In::Rows)
void TROWSUM_IMPL(Out& dst, In& src, Tmp&)
{
    TRowSum<Out, In>(dst.data(), src.data(), src.GetValidRow(), src.GetValidCol());
}

// Sums of tiles of different types, such as a part of a wide tile: the CPU build's body takes three tiles of one type.
// Source: pto-isa 3186c381, include/pto/npu/a2a3/TAdd.hpp (TADD_IMPL), include/pto/cpu/TAdd.hpp.
template <typename Out, typename In0, typename In1>
    requires(!std::is_same_v<Out, In0> || !std::is_same_v<Out, In1>)
void TADD_IMPL(Out& dst, In0& src0, In1& src1)
{
    for (int row = 0; row < dst.GetValidRow(); ++row) {
        for (int col = 0; col < dst.GetValidCol(); ++col) {
            dst.SetElement(row, col, src0.GetElement(row, col) + src1.GetElement(row, col));
        }
    }
}

// Loads into a tile without padding write its valid part.  The CPU build's body first fills the tile's whole storage with zeros, which of a
// part of a tile is also what lies beside it.  Source: pto-isa 3186c381, include/pto/cpu/TLoad.hpp (TLOAD_TILE_IMPL).
template <typename TileData, typename GlobalData>
    requires(TileData::PadVal == PadValue::Null)
void TLOAD_TILE_IMPL(TileData& dst, GlobalData& src)
{
    CheckTileData<TileData, GlobalData>(dst, src);
    std::vector<int64_t> shapes, strides;
    for (int dimension = 0; dimension < 5; ++dimension) {
        shapes.push_back(src.GetShape(dimension));
        strides.push_back(src.GetStride(dimension));
    }
    for (int row = 0; row < dst.GetValidRow(); ++row) {
        for (int col = 0; col < dst.GetValidCol(); ++col) {
            dst.SetElement(row, col, src.GetElement(MapTileIndicesToGlobalOffset<GlobalData>(row, col, shapes, strides)));
        }
    }
}

}  // namespace pto

#endif
