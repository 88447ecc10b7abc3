/* bfloat16_pack.h: operands packed as bfloat16.h multiplies them, by blocks, so that a dot kernel can share it out.
 *
 * An operand (n,K), A or Bᵀ, becomes words (n,K/2) of two neighbours in k each; a panel of B lies the other way
 * round, (K/2,PANEL). Either may be read along rows or across them: two of the four cases transpose words, LANES ×
 * LANES at a time. Both pieces are made of an element while it is in a register, in half the time of two passes.
 */
#define PANEL ((nn_index)32)
#define STEP ((nn_index)32) /* of k, LANES words */
#define ALONG (LANES * STEP) /* of a row of X */
#define ACROSS ((nn_index)144) /* columns of Xᵀ read together */

typedef struct packing {
    const real *x; /* element (i,k) is x[i ld + k] or, across, x[k ld + i]; NULL: it is packed, only fetched to L2 */
    nn_index ld, n, K;
    int across, panel;
    word *y; /* word (i,w) is y[i ldy + w], in a panel y[w ldy + i]; the other piece lies `piece` words further on */
    nn_index ldy, piece;
    nn_index i, k; /* the next block */
} packing;

typedef word vu_any __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(word)), may_alias));
INLINE vu load_words(const word *p) { return *(const vu_any *)p; }
INLINE void store_words(word *p, vu v) { *(vu_any *)p = v; }

INLINE nn_index whole_words(nn_index k) { return ceil_div(k, STEP) * (STEP / 2); }

#define BITS_INFINITE 0x7f800000
#define BITS_NORMAL 0x00800000   /* the least number that is not denormal */
#define BITS_ROUND_UP 0x7f7f8000 /* the least that rounds to an infinite bfloat16 */

/* x rounded to bfloat16, denormals to 0; finite x never becomes infinite: cut there, the rest goes to the next
 * piece. */
INLINE vf rounded(vf x) {
    const vu bits = (vu)x, size = bits & 0x7fffffff;
    const vu nearest = (bits + 0x7fff + ((bits >> 16) & 1)) & 0xffff0000;
    const vf number = vselect((vi)(size >= BITS_ROUND_UP), (vf)(bits & 0xffff0000), (vf)nearest);
    return vselect((vi)(size > BITS_INFINITE), x, vselect((vi)(size < BITS_NORMAL), (vf)(bits - size), number));
}

/* What remains of x beside its first piece: nothing of an infinity */
INLINE vf rest(vf x, vf piece) { return vselect((vi)(((vu)x & 0x7fffffff) == BITS_INFINITE), (vf){0}, x - piece); }

/* The pieces of x and of y, those of x in the first half of a vector. */
INLINE void cut(vf x, vf y, const int pieces, vu piece[2]) {
    piece[0] = halves(x, y);
    if (pieces == 1) return;
    if (__builtin_expect(any_not_finite(piece[0]), 0)) {
        const vf a = rounded(x), b = rounded(y);
        piece[0] = halves(a, b), piece[1] = halves(rest(x, a), rest(y, b));
    } else
        piece[1] = halves(x - first_half(piece[0]), y - second_half(piece[0]));
}

/* y = xᵀ, LANES × LANES */
INLINE void transpose_words(const word *x, word *y, nn_index ldy) {
    for (nn_index r = 0; r < LANES; r += BLOCK)
        transpose_blocks((const real *)x + r, LANES, (real *)(y + r * ldy), ldy);
}

/* A block of what is read along rows: of A, k … k + ALONG of row i alone, as rows may share sets of L1;
 * of a panel i … i + LANES, k … k + STEP.
 * `whole`: all vectors read are; else what is beyond n or K is 0. */
INLINE void pack_along(const packing *p, const int panel, const int whole, const int pieces) {
    const nn_index i = p->i, k = p->k, n = p->n - i, K = p->K - k, ld = p->ld, ldy = p->ldy, piece = p->piece;
    const real *const X = p->x + (i * ld + k);
    word *const y = p->y + (panel ? k / 2 * ldy + i : i * ldy + k / 2);
    word block[2][LANES * LANES] __attribute__((aligned(64)));
    for (nn_index r = 0; r < LANES && (whole || panel || r * STEP < K); r++) {
        const real *x = X + r * (panel ? ld : STEP);
        const nn_index left = whole ? STEP : panel ? K : K - r * STEP;
        vf first = {0}, second = {0};
        vu words[2];
        if (whole || !panel || r < n) first = load_some(x, left), second = load_some(x + LANES, left - LANES);
        cut(first, second, pieces, words);
        for (int q = 0; q < pieces; q++) store_words((panel ? block[q] : y + q * piece) + r * LANES, words[q]);
    }
    for (int q = 0; q < pieces && panel; q++) transpose_words(block[q], y + q * piece, ldy);
}

/* A block of what is read across them: i … i + ACROSS, k … k + STEP, of a panel k … k + STEP / 2. Lines beside
 * each other are best used together: 32 columns at a time are slower. */
INLINE void pack_across(const packing *p, const int panel, const int whole, const int pieces) {
    const nn_index i = p->i, k = p->k, K = p->K - k, width = panel ? PANEL : ACROSS;
    const nn_index n = whole && panel ? PANEL : least(width, p->n - i);
    const nn_index ld = p->ld, ldy = p->ldy, piece = p->piece;
    const real *const X = p->x + (k * ld + i);
    word *const y = p->y + (panel ? k / 2 * ldy + i : i * ldy + k / 2);
    word block[2][ACROSS * LANES] __attribute__((aligned(64)));
    for (nn_index w = 0; w < (panel ? STEP / 4 : STEP / 2); w++)
        for (nn_index c = 0; c < n; c += LANES) {
            const real *x = X + 2 * w * ld + c;
            vf first = {0}, second = {0};
            vu words[2];
            if (whole || 2 * w < K) first = load_some(x, whole ? LANES : n - c);
            if (whole || 2 * w + 1 < K) second = load_some(x + ld, whole ? LANES : n - c);
            cut(first, second, pieces, words);
            for (int q = 0; q < pieces; q++)
                store_words(panel ? y + q * piece + w * ldy + c : block[q] + (c + w) * LANES, interleaved(words[q]));
        }
    for (int q = 0; q < pieces && !panel; q++)
        for (nn_index c = 0; c < n; c += LANES) transpose_words(block[q] + c * LANES, y + q * piece + c * ldy, ldy);
}

INLINE void fetch_words(const packing *p, const int pieces) { /* of as much of a panel */
    for (int q = 0; q < pieces; q++)
        for (nn_index w = 0; w < LANES * LANES; w += LANES)
            __builtin_prefetch(p->y + q * p->piece + p->k / 2 * PANEL + w, 0, 2);
}

INLINE nn_index block_width(const packing *p) { return p->across ? p->panel ? PANEL : ACROSS : p->panel ? LANES : 1; }
INLINE nn_index block_depth(const packing *p) { return p->across == p->panel ? p->across ? STEP / 2 : ALONG : STEP; }
INLINE nn_index blocks_of(const packing *p) {
    return ceil_div(p->n, block_width(p)) * ceil_div(ceil_div(p->K, STEP) * STEP, block_depth(p));
}

/* Pack the next block, in the order in which elements lie; whether there was one. */
INLINE int pack_block(packing *p, const int pieces) {
    const nn_index K = ceil_div(p->K, STEP) * STEP, width = block_width(p), depth = block_depth(p);
    if (p->i >= p->n || p->k >= K) return 0;
    const int rows = p->across && !p->panel ? least(width, p->n - p->i) % LANES == 0 : p->i + width <= p->n;
    const int whole = rows && p->k + depth <= p->K;
#define PACK_BLOCK(along, panel) (whole ? pack_##along(p, panel, 1, pieces) : pack_##along(p, panel, 0, pieces))
    if (!p->x)
        fetch_words(p, pieces);
    else if (p->across)
        p->panel ? PACK_BLOCK(across, 1) : PACK_BLOCK(across, 0);
    else
        p->panel ? PACK_BLOCK(along, 1) : PACK_BLOCK(along, 0);
#undef PACK_BLOCK
    if (p->across) {
        p->i += width;
        if (p->i >= p->n && p->k + depth < K) p->i = 0, p->k += depth;
    } else {
        p->k += depth;
        if (p->k >= K && p->i + width < p->n) p->k = 0, p->i += width;
    }
    return 1;
}

/* y: n reals, an even number, as words; the second piece lies `piece` words further on. */
INLINE void cut_reals(nn_index n, const real *x, word *y, nn_index piece, const int pieces) {
    vu words[2];
    for (nn_index i = 0; i < n; i += STEP, y += LANES) {
        cut(load_some(x + i, n - i), load_some(x + i + LANES, n - i - LANES), pieces, words);
        for (int q = 0; q < pieces; q++) store_some((real *)(y + q * piece), (n - i) / 2, (vf)words[q]);
    }
}

/* All that is left of it. */
INLINE void pack_rest(packing *p, const int pieces) {
    while (pack_block(p, pieces)) {}
}
