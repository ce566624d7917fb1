// IEEE single arithmetic of the requantiser: convert, multiply, round, compare; all to nearest even.
//
// No NaN or infinity goes in: the drain's scale is a finite number and its other operands are made
// by int_to_float. Subnormal products are rounded as IEEE asks.
package fp32;
  // 2^-shift of `value`, rounded to nearest, ties to even.
  function automatic logic [47:0] shift_round(input logic [47:0] value, input int shift);
    logic [47:0] kept, rest, half;
    if (shift <= 0) return value << -shift;
    if (shift > 48) return '0;
    kept = shift == 48 ? '0 : value >> shift;
    rest = value - (shift == 48 ? '0 : kept << shift);
    half = 48'd1 << (shift - 1);
    if (rest > half || (rest == half && kept[0])) kept = kept + 1;
    return kept;
  endfunction

  function automatic int top_bit(input logic [31:0] value);
    for (int i = 31; i > 0; i--) if (value[i]) return i;
    return 0;
  endfunction

  function automatic logic [31:0] magnitude_to_float(input logic sign, input logic [31:0] mag);
    int top;
    logic [47:0] mantissa;
    if (mag == 0) return {sign, 31'd0};
    top = top_bit(mag);
    mantissa = shift_round({16'd0, mag}, top - 23);
    if (mantissa[24]) return {sign, 8'(127 + top + 1), 23'd0};
    return {sign, 8'(127 + top), mantissa[22:0]};
  endfunction

  function automatic logic [31:0] int_to_float(input logic [31:0] value);
    return magnitude_to_float(value[31], value[31] ? -value : value);
  endfunction

  function automatic logic [31:0] multiply(input logic [31:0] x, input logic [31:0] y);
    logic sign;
    logic [47:0] product;
    int exponent;
    sign = x[31] ^ y[31];
    if (x[30:0] == 0 || y[30:0] == 0) return {sign, 31'd0};
    product = {24'd0, x[30:23] != 0, x[22:0]} * {24'd0, y[30:23] != 0, y[22:0]};
    exponent = (x[30:23] == 0 ? 1 : int'(x[30:23])) + (y[30:23] == 0 ? 1 : int'(y[30:23])) - 126;
    while (!product[47] && exponent > -200) begin
      product = product << 1;
      exponent = exponent - 1;
    end
    if (exponent >= 255) return {sign, 8'd255, 23'd0};
    if (exponent <= 0) return {sign, 31'(shift_round(product, 25 - exponent))};
    // The mantissa's leading one adds 1 to the exponent's field, and so does a carry out of it.
    return {sign, 31'((32'(exponent - 1) << 23) + 32'(shift_round(product, 24)))};
  endfunction

  // The whole number next to |x|; at most 2^24 where x has a fraction. `away`: a fault, ties go up.
  function automatic logic [31:0] round(input logic [31:0] x, input logic away);
    int shift;
    logic [47:0] mantissa;
    shift = 150 - int'(x[30:23]);
    if (shift <= 0) return x;
    mantissa = {24'd0, x[30:23] != 0, x[22:0]};
    if (away && shift <= 24) mantissa = (mantissa + (48'd1 << (shift - 1))) >> shift;
    else mantissa = shift_round(mantissa, shift);
    return magnitude_to_float(x[31], 32'(mantissa));
  endfunction

  function automatic logic less(input logic [31:0] x, input logic [31:0] y);
    if (x[30:0] == 0 && y[30:0] == 0) return x[31] && !y[31];
    if (x[31] != y[31]) return x[31];
    return x[31] ? x[30:0] > y[30:0] : x[30:0] < y[30:0];
  endfunction

  // To int8: nearest even, saturating.
  function automatic logic [7:0] to_int8(input logic [31:0] x);
    logic [47:0] mag;
    int shift;
    shift = 150 - int'(x[30:23]);
    if (shift <= 8) return x[31] ? 8'h80 : 8'h7f;
    mag = shift_round({24'd0, x[30:23] != 0, x[22:0]}, shift);
    if (x[31]) return mag > 128 ? 8'h80 : -mag[7:0];
    return mag > 127 ? 8'h7f : mag[7:0];
  endfunction
endpackage
