//! Attention by feature maps, linear in the sequence length: elu+1, FAVOR+, LinRec.
